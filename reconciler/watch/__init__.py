"""What wakes the loop: commits, saved files, remotes, units, drift, GPUs and time."""
