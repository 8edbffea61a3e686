"""Joins the unit kind's wish for proof to the prober that gets it."""
