"""Ways to teach a stock model facts, side by side: the task, the arms, what each of them answers and forgets."""
