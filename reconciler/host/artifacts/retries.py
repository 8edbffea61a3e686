"""Try again what may go away by itself."""

import time
from collections.abc import Callable
from typing import TypeVar

from reconciler.host.artifacts.errors import TransientError
from reconciler.host.artifacts.limits import Limits

Result = TypeVar("Result")


def patiently(call: Callable[[], Result], limits: Limits) -> Result:
    """Call until it does not raise TransientError, at most `limits.attempts` times; the last failure is
    raised.
    """
    failures = 0
    while True:
        try:
            return call()
        except TransientError as error:
            failures += 1
            if failures == limits.attempts:
                raise
            time.sleep(limits.wait_seconds(failures, error.retry_after))
