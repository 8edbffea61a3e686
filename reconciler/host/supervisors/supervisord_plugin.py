"""Runs inside our supervisord, as an RPC interface beside its own: what supervisord lacks.

supervisord gives up only on programs that die while starting and has no memory limit. Here every exit that
nobody ordered counts as a crash; the first is answered at once, each further one a second later than the one
before, and the last of `CRASHES` ends as FATAL. Resident memory is
looked at every five seconds. Restarts use the configuration as last read and go on even if the caller dies.
No other process, and supervisorctl shows the same states.
"""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from supervisor import events
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface
from supervisor.states import RUNNING_STATES, STOPPED_STATES, ProcessStates, getProcessStateDescription
from supervisor.xmlrpc import Faults, RPCError

from reconciler.core.restarts import CrashHistory
from reconciler.host.guard import OverLimit, memory_limit

_SOONEST_SECONDS = 0.02
_BELL_BYTES = 4096
NOT_LOADED = "NOT_LOADED"
"""The state of a program that is configured but was not started since this daemon came up."""


@dataclass(slots=True)
class _Program:
    crashes: CrashHistory = field(default_factory=CrashHistory)
    restarts: int = 0
    restart_pending: bool = False
    due: float | None = None
    """When it is to be started again after a crash, in seconds since the epoch."""


class ModelctlRPCInterface:
    """Public methods are RPC calls `modelctl.<name>`; each returns at once."""

    def __init__(self, supervisord: Any) -> None:
        self._supervisord = supervisord
        self._stock = SupervisorNamespaceRPCInterface(supervisord)
        self._programs: dict[str, _Program] = {}
        self._over_limit = OverLimit()
        events.subscribe(events.ProcessStateExitedEvent, self._on_exited)
        events.subscribe(events.ProcessStateBackoffEvent, self._on_backoff)
        events.subscribe(events.ProcessStateStartingEvent, self._on_starting)
        events.subscribe(events.ProcessStateStoppedEvent, self._on_stopped)
        events.subscribe(events.ProcessStateFatalEvent, self._on_gone)
        events.subscribe(events.Tick5Event, self._on_tick)
        self._bell = _ring_at_signals()
        poller = supervisord.options.poller
        poller.register_readable(self._bell)
        self._poll = poller.poll
        poller.poll = self._poll_until_due

    def reload(self, removed: list[str]) -> list[list[str]]:
        """Read all files again; forget the removed programs. Returns [name, why] for each that cannot go."""
        self._stock.reloadConfig()
        failures: list[list[str]] = []
        for name in removed:
            if name in self._supervisord.process_groups:
                try:
                    self._stock.removeProcessGroup(name)
                except RPCError as error:
                    failures.append([name, error.text])
                else:
                    self._programs.pop(name, None)
        return failures

    def start(self, names: list[str]) -> list[list[str]]:
        """Start what does not run, by its newest configuration. Returns [name, why] for each failure."""
        return self._each(names, self._start)

    def stop(self, names: list[str]) -> list[list[str]]:
        """Order to stop; `observe` tells when it is done. Returns [name, why] for each failure."""
        return self._each(names, self._stop)

    def restart(self, names: list[str]) -> list[list[str]]:
        """Order to stop and start by the newest configuration. Returns [name, why] for each failure."""
        return self._each(names, self._restart)

    def observe(self, names: list[str]) -> list[dict[str, Any]]:
        """One struct per name that is configured or active."""
        configured = {group.name for group in self._supervisord.options.process_group_configs}
        found: list[dict[str, Any]] = []
        for name in names:
            process = self._process(name)
            if process is not None:
                found.append(self._describe(name, process))
            elif name in configured:
                found.append({"name": name, "state": NOT_LOADED, "pid": 0, "restarts": 0})
        return found

    def _describe(self, name: str, process: Any) -> dict[str, Any]:
        state = process.get_state()
        program = self._program(name)
        since = process.laststart if process.pid else process.laststop
        return {
            "name": name,
            "state": "RESTARTING" if program.restart_pending else getProcessStateDescription(state),
            "pid": process.pid or 0,
            "restarts": program.restarts,
            "since": float(since),
            "detail": process.spawnerr or "",
        }

    @staticmethod
    def _each(names: list[str], order: Any) -> list[list[str]]:
        failures: list[list[str]] = []
        for name in names:
            try:
                order(name)
            except RPCError as error:
                failures.append([name, error.text])
        return failures

    def _start(self, name: str) -> None:
        if name not in self._supervisord.process_groups:
            self._stock.addProcessGroup(name)
        process = self._process(name)
        if process.get_state() == ProcessStates.STOPPING:
            self._program(name).restart_pending = True
        elif process.get_state() not in RUNNING_STATES:
            self._take_newest_configuration(name, process)
            self._stock.startProcess(name, wait=False)

    def _stop(self, name: str) -> None:
        process = self._process(name)
        if process is None:
            return
        self._program(name).restart_pending = False
        if process.get_state() in RUNNING_STATES:
            self._stock.stopProcess(name, wait=False)
        elif process.get_state() in STOPPED_STATES:
            process.change_state(ProcessStates.STOPPED)
            process.laststart = process.laststart or time.time()

    def _restart(self, name: str) -> None:
        process = self._process(name)
        if process is None or process.get_state() in STOPPED_STATES:
            self._start(name)
        else:
            self._program(name).restart_pending = True
            if process.get_state() in RUNNING_STATES:
                self._stock.stopProcess(name, wait=False)

    def _take_newest_configuration(self, name: str, process: Any) -> None:
        for group in self._supervisord.options.process_group_configs:
            if group.name == name:
                self._supervisord.process_groups[name].config = group
                (process.config,) = group.process_configs
                return
        raise RPCError(Faults.BAD_NAME, name)

    def _process(self, name: str) -> Any:
        group = self._supervisord.process_groups.get(name)
        return None if group is None else group.processes.get(name)

    def _program(self, name: str) -> _Program:
        return self._programs.setdefault(name, _Program())

    def _on_exited(self, event: Any) -> None:
        """An exit that was not ordered: wait like any other failed start instead of running again at once."""
        event.process.change_state(ProcessStates.BACKOFF)

    def _on_backoff(self, event: Any) -> None:
        process = event.process
        crashes = self._program(process.config.name).crashes.crashed(time.monotonic())
        process.backoff = crashes
        process.delay = time.time() + crashes - 1
        self._program(process.config.name).due = process.delay

    def _on_starting(self, event: Any) -> None:
        program = self._program(event.process.config.name)
        program.restart_pending = False
        program.due = None
        if event.from_state == ProcessStates.BACKOFF:
            program.restarts += 1
        else:
            program.restarts = 0
            program.crashes.forgive()

    def _poll_until_due(self, timeout: float) -> tuple[list[int], list[int]]:
        """Its loop wakes once a second, which is long for somebody who waits for an answer.

        The end of a process wakes it only by its closed output, and often a moment before it can be seen.
        """
        now = time.time()
        waits = [program.due - now for program in self._programs.values() if program.due is not None]
        # What is long overdue will not come: no reason to spin.
        soon = [wait for wait in waits if wait > -1]
        if soon:
            timeout = min(timeout, max(_SOONEST_SECONDS, min(soon)))
        readable, writable = self._poll(timeout)
        if self._bell in readable:
            os.read(self._bell, _BELL_BYTES)
            readable.remove(self._bell)
        return readable, writable

    def _on_gone(self, event: Any) -> None:
        self._program(event.process.config.name).due = None

    def _on_stopped(self, event: Any) -> None:
        name = event.process.config.name
        self._program(name).due = None
        if self._program(name).restart_pending:
            self._take_newest_configuration(name, event.process)
            # A program that never ran is started by supervisord's own loop, once this exit is settled.
            event.process.laststart = 0

    def _on_tick(self, _event: Any) -> None:
        for group in self._supervisord.process_groups.values():
            for process in group.processes.values():
                limit = memory_limit(process.config.environment)
                if process.pid and limit is not None and process.get_state() == ProcessStates.RUNNING:
                    said = self._over_limit.check(process.pid, limit, process.config.stopwaitsecs)
                    if said is not None:
                        message = f"{process.config.name}: {said}"
                        self._supervisord.options.logger.info(message)


def _ring_at_signals() -> int:
    """A descriptor that becomes readable with every signal, such as that of a child's end."""
    bell, rope = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(rope, False)
    signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    return bell


def make_interface(supervisord: Any) -> ModelctlRPCInterface:
    """The factory that supervisord.conf names. Programs must not inherit how this daemon found our code."""
    # Loaded now: this daemon goes on when an upgrade takes its files away.
    import psutil  # noqa: F401, PLC0415 - what `resident_bytes` would load when it is first asked

    os.environ.pop("PYTHONPATH", None)
    return ModelctlRPCInterface(supervisord)
