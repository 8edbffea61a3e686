"""Does what the plan lists for units: files, orders to the supervisor, and waiting for an answer."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.core.endpoint import Endpoint, SocketEndpoint, parse_endpoint
from reconciler.core.errors import ModelctlError, SupervisorError, UnhealthyError
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb
from reconciler.core.types import UnitName
from reconciler.host.files import atomic_write, sync_folder
from reconciler.host.health import wait_ready
from reconciler.host.state import State
from reconciler.host.supervisors.base import Supervisor
from reconciler.kinds.unit.plan import KIND
from reconciler.kinds.unit.pulse import Pulse
from reconciler.kinds.unit.types import UNIT_MODE, UnitChange, UnitNames, UnitReturn, UnitStop

Report = Callable[[Operation, Exception | None], None]
_CHECKS_AT_ONCE = 32
_LOG_TAIL_LINES = 12
_DRAIN_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class UnitApplier:
    """Handlers for the verbs of units."""

    supervisor: Supervisor
    state: State
    requests_at: Callable[[Endpoint], int]
    """How many requests a runtime is answering."""
    logs: Path
    """The folder of units' logs, where the supervisor keeps none by itself."""

    def handlers(self) -> Mapping[tuple[str, Verb], Callable[[Sequence[Operation], Report], None]]:
        return {
            (KIND, Verb.LAUNCH): self._launch,
            (KIND, Verb.WRITE): self._write,
            (KIND, Verb.RELOAD): self._reload,
            (KIND, Verb.START): self._start,
            (KIND, Verb.RESTART): self._restart,
            (KIND, Verb.CHECK): self._check,
            (KIND, Verb.RESTORE): self._restore,
            (KIND, Verb.KEEP): self._keep,
            (KIND, Verb.DRAIN): self._drain,
            (KIND, Verb.STOP): self._stop,
            (KIND, Verb.REMOVE): self._remove,
        }

    def _launch(self, batch: Sequence[Operation], report: Report) -> None:
        self.supervisor.ensure_running()
        for operation in batch:
            report(operation, None)

    def _write(self, batch: Sequence[Operation], report: Report) -> None:
        _each(batch, report, lambda operation: self._put(_change(operation).unit))

    def _put(self, unit: OwnedUnit) -> None:
        # The inventory first: a file without a row would look like somebody else's after a crash in between.
        self.state.put_unit(unit)
        path = self.supervisor.unit_path(unit.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, unit.text, UNIT_MODE)

    def _reload(self, batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            names: UnitNames = operation.payload
            changed = [name for name in names.changed if self.supervisor.unit_path(name).exists()]
            removed = [name for name in names.removed if not self.supervisor.unit_path(name).exists()]
            self.supervisor.reload(changed, removed)
            report(operation, None)

    def _start(self, batch: Sequence[Operation], report: Report) -> None:
        self._begin(batch, report, self.supervisor.start)

    def _restart(self, batch: Sequence[Operation], report: Report) -> None:
        self._begin(batch, report, self.supervisor.restart)

    def _begin(
        self, batch: Sequence[Operation], report: Report, order: Callable[[Sequence[UnitName]], None]
    ) -> None:
        for operation, error in _together(batch, lambda ops: order([_change(op).unit.name for op in ops])):
            if error is None:
                unit = _change(operation).unit
                self.state.put_unit(replace(unit, started_hash=unit.config_hash))
            report(operation, error)

    def _check(self, batch: Sequence[Operation], report: Report) -> None:
        pulse = Pulse(self.supervisor, [_change(operation).unit.name for operation in batch])
        with ThreadPoolExecutor(max_workers=min(len(batch), _CHECKS_AT_ONCE)) as pool:
            for operation in batch:
                pool.submit(_each, [operation], report, lambda checked: self._prove(_change(checked), pulse))

    def _prove(self, change: UnitChange, pulse: Pulse) -> None:
        unit = change.unit
        try:
            _await(change, pulse)
        except UnhealthyError as error:
            failure = _with_log(error, self._tail(unit.name))
            told = unit.failure if change.kept else failure.what
            self.state.put_unit(replace(unit, started_hash=unit.config_hash, failure=told))
            raise failure from error
        told = unit.failure if change.kept else None
        self.state.put_unit(
            replace(unit, started_hash=unit.config_hash, ready_hash=unit.config_hash, failure=told)
        )

    def _tail(self, name: UnitName) -> Sequence[str]:
        try:
            return list(self.supervisor.log(name, lines=_LOG_TAIL_LINES, follow=False))
        except (ModelctlError, OSError):
            return []  # the reason stands without its log

    def _restore(self, batch: Sequence[Operation], report: Report) -> None:
        _each(batch, report, self._bring_back)

    def _bring_back(self, operation: Operation) -> None:
        if isinstance(operation.payload, UnitReturn):
            self._go_on_with(operation.payload)
        else:
            self._put_back(_change(operation))

    def _go_on_with(self, back: UnitReturn) -> None:
        """The one that failed goes, its files and all; the one before serves."""
        units = self.state.units()
        failure = (units[back.failed].failure if back.failed in units else None) or "it did not start"
        unit = replace(back.previous.unit, failure=failure)
        self.supervisor.stop([back.failed])
        self._forget(back.failed)
        self.supervisor.reload([], [back.failed])
        if back.revive:
            self.state.put_unit(replace(unit, started_hash=None))
            self.supervisor.start([unit.name])
            self.state.put_unit(replace(unit, started_hash=unit.config_hash))
            _await(back.previous, Pulse(self.supervisor, [unit.name]))
        else:
            self.state.put_unit(unit)

    def _put_back(self, change: UnitChange) -> None:
        unit = change.unit
        failed = self.state.units().get(unit.name)
        failure = (failed.failure if failed else None) or "it did not start"
        self._put(replace(unit, started_hash=None, ready_hash=None, failure=failure))
        self.supervisor.reload([unit.name], [])
        self.supervisor.restart([unit.name])
        _await(change, Pulse(self.supervisor, [unit.name]))
        self.state.put_unit(
            replace(unit, started_hash=unit.config_hash, ready_hash=unit.config_hash, failure=failure)
        )

    def _keep(self, batch: Sequence[Operation], report: Report) -> None:
        _each(batch, report, lambda operation: self._mark(operation, None))

    def _drain(self, batch: Sequence[Operation], report: Report) -> None:
        _each(batch, report, lambda operation: self._mark(operation, time.time()))

    def _mark(self, operation: Operation, retired_at: float | None) -> None:
        names: UnitNames = operation.payload
        known = self.state.units()
        for name in names.changed:
            self.state.put_unit(replace(known[name], retired_at=retired_at))

    def _stop(self, batch: Sequence[Operation], report: Report) -> None:
        """Each once it has finished the requests that it has or its time is over; together where they can."""
        start = time.monotonic()
        waiting = list(batch)
        while waiting:
            seconds = time.monotonic() - start
            due = [operation for operation in waiting if not self._is_draining(_stop(operation), seconds)]
            for operation, error in _together(due, self._stop_now) if due else ():
                report(operation, error)
            waiting = [operation for operation in waiting if operation not in due]
            if waiting:
                time.sleep(_DRAIN_POLL_SECONDS)

    def _is_draining(self, stop: UnitStop, seconds: float) -> bool:
        if seconds >= stop.drain_seconds or not stop.endpoint:
            return False
        return self.requests_at(parse_endpoint(stop.endpoint)) > 0

    def _stop_now(self, operations: Sequence[Operation]) -> None:
        """Note first that it is our doing: should we be killed, nobody takes them for stopped by a person."""
        names = [_stop(operation).name for operation in operations]
        known = self.state.units()
        for name in names:
            if name in known:
                self.state.put_unit(replace(known[name], started_hash=None))
        self.supervisor.stop(names)

    def _remove(self, batch: Sequence[Operation], report: Report) -> None:
        _each(batch, report, self._clear_away)

    def _clear_away(self, operation: Operation) -> None:
        name = _name(operation)
        unit = self.state.units().get(name)
        self._forget(name)
        if unit is not None:
            self._clear_logs(unit)

    def _clear_logs(self, gone: OwnedUnit) -> None:
        """Those of the runtime, and of its versions before it that are gone: each has a log of its own."""
        kept = self.state.units()
        ours = re.compile(rf"({re.escape(gone.placed_as)}(?:@[0-9a-f]+)?)\.log(?:\..+)?")
        for path in self.logs.glob("llama@*"):
            found = ours.fullmatch(path.name)
            if found is not None and found[1] not in kept:
                path.unlink(missing_ok=True)

    def _forget(self, name: UnitName) -> None:
        unit = self.state.units().get(name)
        if unit is not None and unit.endpoint:
            endpoint = parse_endpoint(unit.endpoint)
            if isinstance(endpoint, SocketEndpoint):
                Path(endpoint.path).unlink(missing_ok=True)  # what was killed left it behind
        path: Path = self.supervisor.unit_path(name)
        path.unlink(missing_ok=True)
        if path.parent.exists():
            sync_folder(path.parent)
        self.state.forget_unit(name)


def _await(change: UnitChange, pulse: Pulse) -> None:
    """Until it answered with a token. One that keeps crashing has failed long before its deadline."""
    unit = change.unit
    wait_ready(
        parse_endpoint(unit.endpoint),
        deadline_seconds=change.ready_seconds,
        alive=lambda: pulse.beats(unit.name),
        alias=unit.model,
        embedding=change.embedding,
    )


def _change(operation: Operation) -> UnitChange:
    change: UnitChange = operation.payload
    return change


def _stop(operation: Operation) -> UnitStop:
    stop: UnitStop = operation.payload
    return stop


def _name(operation: Operation) -> UnitName:
    names: UnitNames = operation.payload
    return names.removed[0]


def _attempt(act: Callable[[Operation], None], operation: Operation) -> Exception | None:
    """Do it; a failure is one operation's answer, not the batch's."""
    try:
        act(operation)
    except (ModelctlError, OSError) as error:
        return error
    return None


def _each(batch: Sequence[Operation], report: Report, act: Callable[[Operation], None]) -> None:
    for operation in batch:
        report(operation, _attempt(act, operation))


def _together(
    batch: Sequence[Operation], order: Callable[[Sequence[Operation]], None]
) -> list[tuple[Operation, Exception | None]]:
    """One order for all; where the supervisor refuses it, one each, so that the bad one stands alone."""
    try:
        order(batch)
    except SupervisorError as error:
        if len(batch) == 1:
            return [(batch[0], error)]
        return [(operation, _attempt(lambda one: order([one]), operation)) for operation in batch]
    return [(operation, None) for operation in batch]


def _with_log(error: UnhealthyError, tail: Sequence[str]) -> UnhealthyError:
    """The reason, and the last that the server said before."""
    if not tail:
        return error
    said = "\n".join(f"    | {line}" for line in tail)
    return UnhealthyError(f"{error.what}; its log ends:\n{said}", hint=error.hint)
