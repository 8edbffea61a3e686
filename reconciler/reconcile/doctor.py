"""What this machine has and lacks, each with the command that mends it."""

import os
import shlex
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from reconciler.core.errors import ModelctlError
from reconciler.core.sizes import format_bytes
from reconciler.core.units import SupervisorKind
from reconciler.host.machine import cpu_count
from reconciler.host.memory import host_memory
from reconciler.host.nvml import survey
from reconciler.host.overrides_cache import read_placement
from reconciler.host.process import run
from reconciler.host.ram_speed import measure_ram_bandwidth
from reconciler.kinds.placement.document import file_name, parse
from reconciler.placement.devices import RAM_BANDWIDTH
from reconciler.reconcile.learning import WORTH_SAYING, learned
from reconciler.reconcile.site import Site

_LEAST_BUILD = 9000
"""llama.cpp builds before this one know other flags than those that units use."""
_MACHINE_WIDE = Path("/etc/llama.cpp/config.ini")
"""Read by llama-server before its flags; there is no flag against it."""
_LITTLE_SPACE = 10 * 1024**3
_ANSWER_SECONDS = 10.0
_BANDWIDTH_TOLERANCE = 0.25
"""Less than that changes hardly any placement."""


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    detail: str
    hint: str | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def examine(site: Site, folder: Path, *, measure: bool = False) -> tuple[Finding, ...]:
    """Look at everything that serving needs. A look that fails is a finding, never an error.

    `folder`: the spec's. `measure`: also how fast RAM is read, which keeps all cores busy for some seconds.
    """
    looks: tuple[tuple[str, Callable[[Site], Iterator[Finding]]], ...] = (
        ("git", _git),
        ("store", _store),
        ("supervisor", _supervisor),
        ("boot", partial(_boot, folder=folder)),
        ("engine", _engine),
        ("memory", _memory),
        *((("memory", _ram_bandwidth),) if measure else ()),
        ("gpu", _gpus),
        ("placement", _predictions),
    )
    findings: list[Finding] = []
    for name, look in looks:
        try:
            findings += look(site)
        except ModelctlError as error:
            findings.append(Finding(name, Verdict.MISSING, error.what, error.hint))
    return tuple(findings)


def _git(site: Site) -> Iterator[Finding]:
    del site
    version = run(("git", "--version"), timeout=_ANSWER_SECONDS).stdout.strip()
    yield Finding("git", Verdict.OK, version)


def _store(site: Site) -> Iterator[Finding]:
    store = Path(site.places.store)
    above = next(folder for folder in (store, *store.parents) if folder.exists())
    if not os.access(above, os.W_OK):
        yield Finding(
            "store", Verdict.MISSING, f"{above} cannot be written", "set MODELCTL_STORE to a folder of yours"
        )
        return
    free = shutil.disk_usage(above).free
    verdict = Verdict.OK if free >= _LITTLE_SPACE else Verdict.WARN
    hint = None if verdict is Verdict.OK else "most models need more; set settings.store to a larger disk"
    yield Finding("store", verdict, f"{store}, {format_bytes(free)} free", hint)


def _supervisor(site: Site) -> Iterator[Finding]:
    running = site.supervisor.is_running()
    detail = f"{site.supervisor_kind}, {'running' if running else 'started by the first apply'}"
    yield Finding("supervisor", Verdict.OK, detail)


def _boot(site: Site, folder: Path) -> Iterator[Finding]:
    """Whether what runs now runs again after a reboot."""
    match site.supervisor_kind:
        case SupervisorKind.SUPERVISORD:
            yield Finding(
                "boot",
                Verdict.WARN,
                "supervisord is not started by the system at boot",
                f"apply at boot, for one by `crontab -e`: {_at_reboot(folder)}",
            )
        case SupervisorKind.SYSTEMD_USER:
            user = os.environ.get("USER", str(os.getuid()))
            lingers = Path("/var/lib/systemd/linger", user).exists()
            verdict = Verdict.OK if lingers else Verdict.WARN
            detail = "user units start at boot" if lingers else "user units start at login and stop at logout"
            yield Finding("boot", verdict, detail, None if lingers else f"loginctl enable-linger {user}")
        case SupervisorKind.PM2:
            yield Finding(
                "boot", Verdict.WARN, "PM2 must be started at boot", "pm2 startup, once, as it tells you"
            )
        case SupervisorKind.SYSTEMD | SupervisorKind.LAUNCHD:
            yield Finding("boot", Verdict.OK, f"{site.supervisor_kind} starts units at boot")


def _at_reboot(folder: Path) -> str:
    """A line for crontab. cron knows neither PATH nor variables of a login, and reads % as a line's end."""
    script = Path(sysconfig.get_path("scripts"), "modelctl")
    program = str(script) if script.exists() else "modelctl"
    command = shlex.join((program, "apply", "--yes", "--spec", str(folder.absolute())))
    store = os.environ.get("MODELCTL_STORE")
    variable = f"MODELCTL_STORE={shlex.quote(str(Path(store).absolute()))} " if store else ""
    return f"@reboot {variable}{command}".replace("%", r"\%")


def _engine(site: Site) -> Iterator[Finding]:
    engine = site.engine
    detail = f"{engine.command[0]}: {engine.version}"
    if engine.build is not None and engine.build < _LEAST_BUILD:
        yield Finding(
            "engine", Verdict.WARN, f"{detail}, older than b{_LEAST_BUILD}", "install a newer llama.cpp"
        )
    else:
        yield Finding("engine", Verdict.OK, detail)
    if _MACHINE_WIDE.exists():
        what = f"{_MACHINE_WIDE} changes what every llama-server does, behind the plan"
        yield Finding(
            "engine", Verdict.WARN, what, f"move its settings into `flags`, then rm {_MACHINE_WIDE}"
        )


def _memory(site: Site) -> Iterator[Finding]:
    memory = host_memory()
    reserve = site.settings.reserve.ram
    detail = f"{format_bytes(memory.total)} RAM, {format_bytes(memory.available)} available"
    if memory.total <= reserve:
        yield Finding("memory", Verdict.WARN, f"{detail}, all of it reserved", "lower settings.reserve.ram")
    else:
        yield Finding("memory", Verdict.OK, detail)


def _ram_bandwidth(site: Site) -> Iterator[Finding]:
    stated = site.settings.bandwidths.get("ram")
    reckoned = RAM_BANDWIDTH if stated is None else stated * 1e9
    measured = measure_ram_bandwidth(cpu_count(), host_memory().available)
    detail = f"RAM is read at {measured / 1e9:.0f} GB/s; placement reckons with {reckoned / 1e9:.0f}"
    if abs(measured / reckoned - 1) <= _BANDWIDTH_TOLERANCE:
        yield Finding("memory", Verdict.OK, detail)
    else:
        hint = f"in the spec: settings: {{bandwidths: {{ram: {max(1, round(measured / 1e9))}}}}}"
        yield Finding("memory", Verdict.WARN, detail, hint)


def _gpus(site: Site) -> Iterator[Finding]:
    del site
    seen = survey()
    for gpu in seen.gpus:
        speed = "" if gpu.bandwidth is None else f", {gpu.bandwidth / 1e9:.0f} GB/s"
        yield Finding("gpu", Verdict.OK, f"{gpu.name}, {format_bytes(gpu.total)}{speed}, {gpu.uuid}")
    for condition in seen.conditions:
        if condition.is_fault:
            yield Finding("gpu", Verdict.WARN, condition.message, condition.hint)
    if not seen.gpus and not any(condition.is_fault for condition in seen.conditions):
        yield Finding("gpu", Verdict.OK, "none; models run on the CPU")


def _predictions(site: Site) -> Iterator[Finding]:
    """Whether runtimes take what was reckoned, as far as their engines told when they loaded."""
    with site.state() as state:
        units = dict.fromkeys(unit.placed_as for unit in state.units().values())
        known = {unit: found for unit in units if (found := learned(state, unit)) is not None}
    for unit, found in known.items():
        kept = parse(read_placement(site.overrides_cache / file_name(unit)) or "")
        devices = found.devices if kept is None else found.beside(kept)
        worst = max(devices, key=lambda one: abs(one.gap))
        detail = (
            f"{unit}: {format_bytes(worst.predicted)} reckoned on {worst.device},"
            f" {format_bytes(worst.reported)} taken ({worst.gap:+.1%})"
        )
        if abs(worst.gap) > WORTH_SAYING:
            hint = "corrected when it is placed anew: remove its file in overrides-cache and apply"
            yield Finding("placement", Verdict.WARN, detail, hint if worst.gap < 0 else None)
        else:
            yield Finding("placement", Verdict.OK, detail)
