"""What other programs run, read as entries of a spec. Pure: texts and plain values in, plain values out."""
