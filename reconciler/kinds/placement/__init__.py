"""Where each runtime's model goes on this machine's devices, and the files that keep it."""
