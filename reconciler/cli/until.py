"""`--until TIME`, the same for all commands."""

from datetime import datetime, timedelta

from reconciler.core.errors import UsageError


def moment_of(text: str, now: datetime) -> datetime:
    """Read `22:00`, ISO 8601 or a duration such as `2h`; UsageError where it is none, or over at `now`."""
    from reconciler.core.sizes import parse_seconds  # noqa: PLC0415 - only where a person gives a time
    from reconciler.gpu.lockouts import parse_until  # noqa: PLC0415

    try:
        try:
            end = parse_until(text, now)
        except ValueError:
            end = now + timedelta(seconds=parse_seconds(text))
    except (ValueError, OverflowError):
        raise UsageError(
            f"--until {text!r} is no time", hint="write 22:00, 2h or 2025-11-17T22:00:00Z"
        ) from None
    if end <= now:
        raise UsageError(
            f"--until {text!r} is over already", hint="write a time to come, such as 22:00 or 2h"
        )
    return end
