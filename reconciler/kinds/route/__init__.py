"""Routes: which runtime the gateway sends a model's requests to."""
