"""Which layer goes to which device, and the flags that say so; pure."""
