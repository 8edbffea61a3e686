"""Load, observe, plan, apply: the one flow."""
