"""Intervals, paired tests, chance and luck of the draw."""
