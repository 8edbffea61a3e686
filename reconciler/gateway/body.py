"""The body of a request: passed on as it comes, and kept for a second try while that is cheap."""

from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import StreamReader

_MIB = 1024 * 1024
KEPT_BYTES = 4 * _MIB
"""Of one body: more than any prompt, less than a film."""
KEPT_BYTES_IN_ALL = 64 * _MIB
"""Of all bodies together, so that a thousand requests to a loading model do not fill the memory."""


class KeepingBudget:
    """Bytes that may still be kept."""

    def __init__(self, size: int = KEPT_BYTES_IN_ALL) -> None:
        self.left = size


class ClientBodyError(Exception):
    """The client's body broke off or is malformed."""


class RequestBody:
    """One request's body, sent as often as it is whole in memory, else once.

    `wanted` is awaited before the first byte is read: a client that asked may then be told to go on.
    """

    def __init__(
        self,
        content: StreamReader,
        budget: KeepingBudget,
        wanted: Callable[[], Awaitable[None]],
        limit: int = KEPT_BYTES,
    ) -> None:
        self._content = content
        self._budget = budget
        self._wanted = wanted
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0
        self._read = False
        self.replayable = True
        self.failure: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """From the first byte on. A second call needs `replayable`, and the first one's end.

        Raises ClientBodyError, and keeps in `failure` what happened, which is not the backend's fault.
        """
        for chunk in tuple(self._kept):
            yield chunk
        if not self._read:
            self._read = True
            await self._wanted()
        while chunk := await self._next():
            self._keep(chunk)
            yield chunk

    def forget(self) -> None:
        """Keep nothing from now on: there will be no second try."""
        self._budget.left += self._size
        self._size = 0
        self._kept.clear()
        self.replayable = False

    async def _next(self) -> bytes:
        try:
            return await self._content.readany()
        # aiohttp's parser raises errors of several families here, and all mean the same.
        except Exception as error:
            self.failure = error
            raise ClientBodyError(str(error)) from error

    def _keep(self, chunk: bytes) -> None:
        if not self.replayable:
            return
        if self._size + len(chunk) > self._limit or len(chunk) > self._budget.left:
            self.forget()
            return
        self._kept.append(chunk)
        self._size += len(chunk)
        self._budget.left -= len(chunk)
