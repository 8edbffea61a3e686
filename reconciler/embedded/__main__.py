"""`python -m reconciler.embedded`, and `python <this folder>` where the package is not installed."""

import sys
from pathlib import Path

if not __package__:
    # Run as a folder, Python puts the folder itself first on the path; the package is two levels up.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from reconciler.embedded.launcher import main

if __name__ == "__main__":
    main()
