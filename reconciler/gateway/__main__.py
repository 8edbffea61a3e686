"""The gateway as a program: `python -m reconciler.gateway --snapshot FILE --control SOCKET`."""

import argparse
import sys
from pathlib import Path

from reconciler.core.errors import ExitCode, ModelctlError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m reconciler.gateway", description="Own the ports of models and pass requests on."
    )
    parser.add_argument("--snapshot", type=Path, required=True, help="file that says what is routed where")
    parser.add_argument("--control", type=Path, required=True, help="UNIX socket to be controlled through")
    options = parser.parse_args()
    from reconciler.gateway.serve import run  # noqa: PLC0415 - aiohttp takes longer than to print the help

    try:
        run(options.snapshot, options.control)
    except ModelctlError as error:
        sys.stderr.write(f"{error.what}\n")
        return int(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.control}: {error}\n")
        return int(ExitCode.FAILED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
