"""Lockouts: GPUs that a person or another program keeps for itself, as JSON says it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta, timezone
from typing import Any

from reconciler.core.gpu import Gpu, LockoutText
from reconciler.gpu.profiles import named

_KEYS = {"lockout_gpus", "reason", "until"}
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Lockout:
    """Some GPUs, kept until a moment; None: until somebody takes the lockout back."""

    gpus: tuple[str, ...]
    """Bus numbers, UUIDs or parts of product names."""
    reason: str
    until: datetime | None = None
    """With its offset to UTC."""

    def holds_at(self, now: datetime) -> bool:
        return self.until is None or now < self.until

    def why(self, now: datetime) -> str:
        """The reason and the end, in the time zone of `now`."""
        if self.until is None:
            return self.reason
        end = self.until.astimezone(now.tzinfo)
        return f"{self.reason}, until {end:%H:%M}" + (
            "" if end.date() == now.date() else f" on {end:%Y-%m-%d}"
        )

    def document(self) -> dict[str, Any]:
        """As the file has it."""
        until = None if self.until is None else self.until.isoformat(timespec="seconds")
        return {"lockout_gpus": list(self.gpus), "reason": self.reason, "until": until}


@dataclass(frozen=True, slots=True)
class Lockouts:
    """The lockouts of one file, and what is wrong with it."""

    path: str
    entries: tuple[Lockout, ...] = ()
    problems: tuple[str, ...] = ()


def read(source: LockoutText, last: Lockouts | None = None) -> Lockouts:
    """Read one lockout file: `{"lockout_gpus": ["0"], "reason": "…", "until": "…"}` or a list of such.

    A file that cannot be read or is no JSON of this form leaves the lockouts of `last` in force: other
    programs may write it in place, and half a file must neither free a card that is kept nor lock all others
    out. An entry whose `until` cannot be read holds until the file is mended. Each of these is a problem
    that is to be shown.
    """
    kept = () if last is None else last.entries
    follows = "its last lockouts hold" if kept else "it locks nothing until it can be read"
    if source.problem is not None:
        return Lockouts(source.path, kept, (f"{source.path}: {source.problem}; {follows}",))
    if source.text is None:
        return Lockouts(source.path)
    try:
        found = json.loads(source.text)
    except (ValueError, RecursionError):
        return Lockouts(source.path, kept, (f"{source.path} is not valid JSON; {follows}",))
    problems: list[str] = []
    entries: list[Lockout] = []
    for entry in found if isinstance(found, list) else [found]:
        lockout = _entry(entry, source, problems)
        if lockout is None:
            return Lockouts(source.path, kept, (*problems, f"{source.path}: {follows}"))
        entries.append(lockout)
    return Lockouts(source.path, tuple(entries), tuple(problems))


def parse_until(text: str, after: datetime) -> datetime:
    """Read `22:00` (the next one after `after`, in its time zone) or ISO 8601 (`2025-11-17T22:00:00Z`).

    ISO times without an offset are in the time zone of `after`, whose rules say which offset holds then; the
    result has a fixed one. Raises ValueError.
    """
    stripped = text.strip()
    try:
        clock = datetime.strptime(stripped, "%H:%M")  # noqa: DTZ007 - a time of day; its zone is that of `after`
    except ValueError:
        moment = datetime.fromisoformat(stripped)
        # The ends of the calendar cannot be told in every time zone.
        moment = moment.replace(year=min(max(moment.year, MINYEAR + 1), MAXYEAR - 1))
        return _fixed(moment if moment.tzinfo is not None else moment.replace(tzinfo=after.tzinfo))
    moment = after.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return _fixed(moment if moment > after else moment + timedelta(days=1))


def _fixed(moment: datetime) -> datetime:
    """With its offset alone: moments of one time zone are compared by their wall clocks, which turn back."""
    return moment.replace(tzinfo=timezone(moment.utcoffset() or timedelta()))


def locked_gpus(lockouts: Iterable[Lockout], gpus: Sequence[Gpu], now: datetime) -> dict[str, str]:
    """UUID → why, of every GPU that is locked at `now`; a name locks each card that it fits."""
    return {
        gpu.uuid: lockout.why(now)
        for lockout in lockouts
        if lockout.holds_at(now)
        for wanted in lockout.gpus
        for gpu in find(wanted, gpus)
    }


def unknown_gpus(lockouts: Iterable[Lockout], gpus: Sequence[Gpu], now: datetime) -> tuple[str, ...]:
    """Names in force that fit no GPU: misspelt, or of a card that is away."""
    wanted = (name for lockout in lockouts if lockout.holds_at(now) for name in lockout.gpus)
    return tuple(dict.fromkeys(name for name in wanted if not find(name, gpus)))


def find(wanted: str, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that a lockout names by bus number, UUID or part of the product name."""
    if wanted.strip().isdecimal() and len(wanted) < 4:  # noqa: PLR2004 - `5080` is a name, `0` a number
        return tuple(gpu for gpu in gpus if gpu.index == int(wanted))
    return named(wanted, gpus)


def without(lockouts: Iterable[Lockout], gpus: Sequence[Gpu], now: datetime) -> tuple[Lockout, ...]:
    """The lockouts that still hold at `now`, less what they say of some GPUs."""
    kept = (
        replace(lockout, gpus=tuple(name for name in lockout.gpus if not find(name, gpus)))
        for lockout in lockouts
        if lockout.holds_at(now)
    )
    return tuple(lockout for lockout in kept if lockout.gpus)


def _entry(entry: Any, source: LockoutText, problems: list[str]) -> Lockout | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("lockout_gpus"), list):
        problems.append(f'{source.path}: "lockout_gpus" must be a list such as ["0"]')
        return None
    gpus = entry["lockout_gpus"]
    if not all(isinstance(gpu, str | int) and not isinstance(gpu, bool) for gpu in gpus):
        problems.append(f'{source.path}: "lockout_gpus" names GPUs by number, UUID or name')
        return None
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        problems.append(f"{source.path}: unknown key {unknown[0]!r} is ignored")
    reason = entry.get("reason")
    until = _until(entry.get("until"), source, problems)
    words = _one_line(reason) if isinstance(reason, str) else ""
    return Lockout(tuple(map(str, gpus)), words or "no reason given", until)


def _one_line(text: str) -> str:
    """Fit for a terminal, whatever another program wrote."""
    words = " ".join(text[:_LONGEST_REASON].split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def _until(value: Any, source: LockoutText, problems: list[str]) -> datetime | None:
    if value is None:
        return None
    try:
        if isinstance(value, str) and source.written is not None:
            return parse_until(value, source.written)
    except ValueError:
        pass
    problems.append(f'{source.path}: "until": {value!r} is neither HH:MM nor ISO 8601; it holds for good')
    return None
