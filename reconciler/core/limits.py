"""Bounds that more than one room holds to."""

MAXIMUM_SPEC_FILE = 8 * 1024 * 1024
"""Bytes of one file of the spec."""
