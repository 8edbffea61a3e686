"""Units: a service's definition, rendered to the file of one supervisor and read back from it."""
