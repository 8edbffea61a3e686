"""modelctl: a declarative reconciler for local LLM serving."""
