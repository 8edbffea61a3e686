"""Runtimes as files of other programs, for those who leave. Pure: plain values in, texts out."""
