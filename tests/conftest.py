"""Ctrl-C works in every process that tests start.

A shell that runs the tests in the background (`make test &`) has them ignore SIGINT, and their children would
inherit that.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
