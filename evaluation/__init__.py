"""Answering questions with the book closed, metrics, results and reports."""
