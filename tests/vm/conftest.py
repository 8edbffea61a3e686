"""Registers the marker: a `vm` test boots a machine, and runs only where it is asked for."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vm: boots a virtual machine; needs MODELCTL_VM=FOLDER, root and qemu")
