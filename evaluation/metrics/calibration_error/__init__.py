"""Calibration error as an evaluate module."""
