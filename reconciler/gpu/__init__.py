"""Reckoning with GPUs and profiles; pure."""
