"""Runtimes as a Compose file. https://github.com/compose-spec/compose-spec"""

from collections.abc import Sequence
from typing import Any

from reconciler.core.endpoint import TcpEndpoint
from reconciler.exports.runtime import Runtime
from reconciler.spec.render import render

FILE = "compose.yaml"


def to_compose(runtimes: Sequence[Runtime]) -> dict[str, str]:
    """The file, to be started by `docker compose up --detach`."""
    return {FILE: render({"services": {_service_name(one): _service(one) for one in runtimes}})}


def _service_name(runtime: Runtime) -> str:
    """Compose takes an id's characters; a project's container names are lower-case."""
    return runtime.name.lower()


def _service(runtime: Runtime) -> dict[str, Any]:
    definition = runtime.definition
    service: dict[str, Any] = {
        "image": runtime.image,
        "command": [_literal(word) for word in runtime.container_arguments],
        "environment": {key: _literal(value) for key, value in runtime.environment.items()},
        "volumes": [
            {
                "type": "bind",
                "source": _literal(folder),
                "target": _literal(folder),
                "read_only": access == "ro",
            }
            for folder, access in runtime.mounts
        ],
        "restart": "unless-stopped",
        "stop_grace_period": f"{definition.stop_timeout_seconds}s",
        "healthcheck": {
            "test": ["CMD", *(_literal(word) for word in runtime.health)],
            "interval": "10s",
            "start_period": "10m",
        },
    }
    if isinstance(runtime.endpoint, TcpEndpoint):
        port = runtime.endpoint.port
        service["ports"] = [f"127.0.0.1:{port}:{port}"]
    if definition.memory_limit is not None:
        service["mem_limit"] = definition.memory_limit
    if runtime.gpus:
        device = {"driver": "nvidia", "device_ids": list(runtime.gpus), "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    return service


def _literal(text: str) -> str:
    """Compose replaces `$NAME`; a doubled sign is one."""
    return text.replace("$", "$$")
