"""What is looked at while a model learns: whether it can be asked, and what it forgets."""
