"""The demo: models that say which one they are, served from a fresh workspace."""
