"""`python -m reconciler.cli`: how a supervisor starts the watcher, wherever the script is."""

from reconciler.cli import main

main()
