"""Runs: arguments, data, optimizer, folders, and the stages that scripts start."""
