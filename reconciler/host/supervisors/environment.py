"""What a supervisor's daemon may inherit from the shell that happens to start it."""

import os

_KEPT = {
    "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER",
    "DBUS_SESSION_BUS_ADDRESS", "DYLD_LIBRARY_PATH", "PM2_HOME",
}  # fmt: skip
_KEPT_PREFIXES = ("LC_", "XDG_")


def own_environment() -> dict[str, str]:
    """The caller's environment without what belongs to the caller alone.

    Units inherit from their daemon, and PM2 even writes it to disk: tokens, CUDA_VISIBLE_DEVICES or
    LLAMA_SERVER_ROUTER_PORT of somebody's shell must not become part of a service.
    """
    return {key: value for key, value in os.environ.items() if key in _KEPT or key.startswith(_KEPT_PREFIXES)}
