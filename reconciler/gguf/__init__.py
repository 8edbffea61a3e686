"""Reading and writing GGUF headers; pure, over any reader of bytes."""
