"""Does what the plan lists for routes: the gateway's unit, its snapshot, and telling it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.errors import FormatError, ModelctlError, UnhealthyError
from reconciler.core.operations import Operation, Verb
from reconciler.core.places import Places
from reconciler.core.routes import Route, Snapshot
from reconciler.core.types import ModelId
from reconciler.core.units import UnitState
from reconciler.host import gateway
from reconciler.host.files import atomic_write
from reconciler.host.supervisors.base import Supervisor
from reconciler.kinds.route.plan import KIND
from reconciler.kinds.route.types import GATEWAY, GatewayUnit, RouteChange, RouteRemoval

Report = Callable[[Operation, Exception | None], None]
_UP_SECONDS = 30.0
_UNIT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class RouteApplier:
    """Handlers for the verbs of routes."""

    supervisor: Supervisor
    places: Places
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Batches of different verbs run side by side, and all of them change the one snapshot."""

    def handlers(self) -> Mapping[tuple[str, Verb], Callable[[Sequence[Operation], Report], None]]:
        return {
            (KIND, Verb.LAUNCH): self._launch,
            (KIND, Verb.HOLD): self._route,
            (KIND, Verb.ROUTE): self._route,
            (KIND, Verb.RESTORE): self._route,
            (KIND, Verb.RELEASE): self._release,
            (KIND, Verb.REMOVE): self._remove,
        }

    def _launch(self, batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            unit: GatewayUnit = operation.payload
            supervisor = self.supervisor
            supervisor.ensure_running()
            path = supervisor.unit_path(GATEWAY)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, unit.text, _UNIT_MODE)
            supervisor.reload([GATEWAY], [])
            supervisor.restart([GATEWAY])
            gateway.wait_up(self._control, deadline_seconds=_UP_SECONDS, alive=self._is_alive)
            report(operation, None)

    def _route(self, batch: Sequence[Operation], report: Report) -> None:
        """All in one snapshot; a port that the gateway cannot have fails those that want it."""
        changes: dict[ModelId, Route] = {}
        for operation in batch:
            change: RouteChange = operation.payload
            changes[change.route.model] = change.route
        refused = self._change(changes, [])
        for operation in batch:
            route = changes[ModelId(operation.resource)]
            taken = [f"{port}: {refused[port]}" for port in route.ports if port in refused]
            error: UnhealthyError | None = None
            if taken:
                error = UnhealthyError(
                    f"the gateway cannot listen for {route.model} on port {'; '.join(taken)}",
                    hint="stop that program, or give the model another port in the spec",
                )
            report(operation, error)

    def _release(self, batch: Sequence[Operation], report: Report) -> None:
        gateway.release(self._control, [operation.payload.model for operation in batch])
        for operation in batch:
            report(operation, None)

    def _remove(self, batch: Sequence[Operation], report: Report) -> None:
        gone = [operation.payload.model for operation in batch if isinstance(operation.payload, RouteRemoval)]
        if gone:
            self._change({}, gone)
        for operation in batch:
            if operation.payload is None:
                self._end()
            report(operation, None)

    def _change(self, changes: Mapping[ModelId, Route], gone: Sequence[ModelId]) -> Mapping[int, str]:
        """Write the snapshot and have it read; the ports that could not be opened, and why."""
        path = Path(self.places.gateway_snapshot)
        with self._lock:
            routes = {**self._routes(path), **changes}
            for model in gone:
                routes.pop(model, None)
            gateway.write_snapshot(path, Snapshot(routes))
            if gone and gateway.status(self._control) is None:
                return {}  # it reads the file when it comes up
            return self._reload()

    def _routes(self, path: Path) -> Mapping[ModelId, Route]:
        """What is in force: a file that was damaged since does not count."""
        try:
            return gateway.read_snapshot(path).routes
        except FormatError:
            status = gateway.status(self._control)
            return {} if status is None else status.routes

    def _reload(self) -> Mapping[int, str]:
        """One that died a moment ago comes back by itself, and reads the file anyway."""
        try:
            return gateway.reload(self._control).refused
        except UnhealthyError:
            gateway.wait_up(self._control, deadline_seconds=_UP_SECONDS, alive=self._is_alive)
            return gateway.reload(self._control).refused

    def _end(self) -> None:
        """Its unit file last: an apply that is killed in between sees by it that there is something left."""
        supervisor = self.supervisor
        supervisor.stop([GATEWAY])
        Path(self.places.gateway_snapshot).unlink(missing_ok=True)
        supervisor.unit_path(GATEWAY).unlink(missing_ok=True)
        supervisor.reload([], [GATEWAY])

    def _is_alive(self) -> bool:
        try:
            status = self.supervisor.observe([GATEWAY])[GATEWAY]
        except ModelctlError:
            return False
        return status.state in {UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING}

    @property
    def _control(self) -> Path:
        return Path(self.places.gateway_control)
