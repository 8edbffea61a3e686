"""One adapter per supervisor behind one small interface."""
