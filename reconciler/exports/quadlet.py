"""Runtimes as Podman quadlets, one `.container` file each. podman-systemd.unit(5)"""

import shlex
from collections.abc import Iterator, Sequence

from reconciler.core.endpoint import TcpEndpoint
from reconciler.exports.runtime import Runtime
from reconciler.kinds.unit.escape import refuse_unsafe, systemd_line, systemd_word


def to_quadlet(runtimes: Sequence[Runtime]) -> dict[str, str]:
    """Files for `~/.config/containers/systemd/`; `systemctl --user daemon-reload` makes services of them.

    SpecError where a value has a form that no unit file can hold.
    """
    return {f"llama-{one.name}.container": "".join(f"{line}\n" for line in _lines(one)) for one in runtimes}


def _lines(runtime: Runtime) -> Iterator[str]:
    definition = runtime.definition
    yield "[Unit]"
    yield f"Description={systemd_line(refuse_unsafe(definition.description, 'the description'))}"
    yield ""
    yield "[Container]"
    yield f"Image={runtime.image}"
    yield f"ContainerName=llama-{runtime.name}"
    for folder, access in runtime.mounts:
        yield f"Volume={systemd_line(refuse_unsafe(folder, 'a path'))}:{systemd_line(folder)}:{access}"
    if isinstance(runtime.endpoint, TcpEndpoint):
        port = runtime.endpoint.port
        yield f"PublishPort=127.0.0.1:{port}:{port}"
    for key, value in runtime.environment.items():
        yield f"Environment={_word(f'{key}={value}')}"
    for uuid in runtime.gpus:
        yield f"AddDevice=nvidia.com/gpu={uuid}"
    if definition.memory_limit is not None:
        # `Memory=` is younger than quadlets are.
        yield f"PodmanArgs=--memory={definition.memory_limit}"
    # Taken whole and given to a shell inside the container.
    yield f"HealthCmd={systemd_line(refuse_unsafe(shlex.join(runtime.health), 'a path')).replace('$', '$$')}"
    yield "HealthStartPeriod=10m"
    yield f"Exec={' '.join(_word(word) for word in runtime.container_arguments)}"
    yield ""
    yield "[Service]"
    yield "Restart=on-failure"
    yield f"TimeoutStopSec={definition.stop_timeout_seconds}"
    yield "TimeoutStartSec=600"
    yield ""
    yield "[Install]"
    yield "WantedBy=default.target"


def _word(text: str) -> str:
    """Quadlet's ExecStart has no `:` prefix, so that systemd would replace `$NAME` there."""
    return systemd_word(refuse_unsafe(text, "a word")).replace("$", "$$")
