"""Every benchmark in turn, each printing its table: `make bench`. Name some to run only those."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = tuple(sorted(path.stem for path in HERE.glob("*.py") if path.stem not in {"run", "measure"}))


def main() -> None:
    chosen = sys.argv[1:] or BENCHMARKS
    for name in chosen:
        if name not in BENCHMARKS:
            sys.exit(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
        subprocess.run((sys.executable, HERE / f"{name}.py"), check=True)


if __name__ == "__main__":
    main()
