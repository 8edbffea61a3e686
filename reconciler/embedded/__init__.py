"""The embedded engine: llama.cpp from the xllamacpp wheel behind llama-server's flags."""
