"""The time zone of the machine with its rules: a time of day is right beyond a change of the clocks too."""

import time
from datetime import datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, as tzinfo.fromutc is given it


class LocalZone(tzinfo):
    """What the C library holds to be local time, at any moment."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else _naive(moment).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:  # noqa: ARG002 - the interface of tzinfo
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else _naive(moment).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        seconds = (_naive(moment) - _EPOCH) // timedelta(seconds=1)
        # The only call that tells the two hours of a night apart in which clocks are set back.
        local = datetime.fromtimestamp(seconds)  # noqa: DTZ006 - local time is meant
        return local.replace(microsecond=moment.microsecond, tzinfo=self)


LOCAL = LocalZone()


def local_now() -> datetime:
    """The moment, in the local time zone."""
    return datetime.fromtimestamp(time.time(), LOCAL)


def _naive(moment: datetime) -> datetime:
    """On the wall clock; `fold` tells the two hours of a night apart in which clocks are set back."""
    return moment.replace(tzinfo=None)
