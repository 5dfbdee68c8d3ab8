"""What small models trained from scratch are measured by, with tables and pictures."""
