"""Runtimes as a PM2 ecosystem file. https://pm2.keymetrics.io/docs/usage/application-declaration/"""

import json
from collections.abc import Sequence
from typing import Any

from reconciler.exports.runtime import Runtime

FILE = "ecosystem.json"


def to_pm2(runtimes: Sequence[Runtime]) -> dict[str, str]:
    """The file, to be started by `pm2 start ecosystem.json`."""
    text = json.dumps({"apps": [_app(runtime) for runtime in runtimes]}, indent=2, ensure_ascii=False)
    return {FILE: f"{text}\n"}


def _app(runtime: Runtime) -> dict[str, Any]:
    definition = runtime.definition
    app: dict[str, Any] = {
        "name": runtime.name,
        "script": definition.argv[0],
        "args": list(definition.argv[1:]),
        "interpreter": "none",
        "exec_mode": "fork",
        "cwd": definition.working_directory,
        "env": runtime.environment,
        "autorestart": True,
        "exp_backoff_restart_delay": 1000,
        "kill_timeout": definition.stop_timeout_seconds * 1000,
    }
    if definition.memory_limit is not None:
        app["max_memory_restart"] = definition.memory_limit
    return app
