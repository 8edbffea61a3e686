"""The desired state: its model, how it is read, checked and edited."""
