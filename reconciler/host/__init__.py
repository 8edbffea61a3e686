"""The only code that touches the outside: supervisors, NVML, hub, Git, files, processes."""
