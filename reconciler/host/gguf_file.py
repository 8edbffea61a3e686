"""Where GGUF headers are read from: local files, and HTTP servers by ranges."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.errors import SourceError

if TYPE_CHECKING:
    import urllib3

LOCAL_READ = 256 * 1024
"""Small enough that the allocator reuses its memory; larger reads cost page faults and save nothing."""
HTTP_TIMEOUT_SECONDS = 30.0
_PARTIAL = 206
_OK = 200


class LocalFile:
    """A file on this machine as a reader of bytes; `size` is its length in bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def __call__(self, offset: int, size: int, /) -> bytes:
        return os.pread(self._descriptor, min(size, LOCAL_READ), offset)


@contextmanager
def open_local(path: Path) -> Iterator[LocalFile]:
    """Raises SourceError when the file cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    try:
        yield LocalFile(descriptor)
    finally:
        os.close(descriptor)


class HttpFile:
    """A file on a web server as a reader of bytes, one range request per read.

    `size` is known after the first read. A server that ignores ranges is read from its start as far as is
    asked for, never whole. Credentials in `headers` stay with the first host when it redirects.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, pool: "urllib3.PoolManager | None" = None
    ) -> None:
        import urllib3  # noqa: PLC0415 - heavy, and only remote headers need it

        self._url = url
        self._headers = dict(headers or {})
        self._pool = pool or urllib3.PoolManager(retries=urllib3.Retry(3, backoff_factor=0.2))
        self.size: int | None = None
        self.requests = 0

    def __call__(self, offset: int, size: int, /) -> bytes:
        import urllib3  # noqa: PLC0415 - heavy, and only remote headers need it

        if size <= 0 or (self.size is not None and offset >= self.size):
            return b""
        self.requests += 1
        headers = {
            **self._headers,
            "Range": f"bytes={offset}-{offset + size - 1}",
            "Accept-Encoding": "identity",
        }
        try:
            response = self._pool.request(
                "GET", self._url, headers=headers, preload_content=False, timeout=HTTP_TIMEOUT_SECONDS
            )
        except urllib3.exceptions.HTTPError as error:
            raise SourceError(
                f"{self._url} cannot be reached: {error}", hint="check the network and try again"
            ) from error
        try:
            return self._body(response, offset, size)
        except urllib3.exceptions.HTTPError as error:
            raise SourceError(f"{self._url} broke off: {error}", hint="try again") from error
        finally:
            response.close()

    def _body(self, response: "urllib3.BaseHTTPResponse", offset: int, size: int) -> bytes:
        if response.status == _PARTIAL:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            self.size = int(total) if total.isdigit() else self.size
            return response.read(size)
        if response.status == _OK:
            total = response.headers.get("Content-Length", "")
            self.size = int(total) if total.isdigit() else self.size
            return response.read(offset + size)[offset:]
        raise SourceError(
            f"{self._url} answered {response.status} {response.reason or ''}".rstrip(),
            hint="check the address, and the token if the repository is gated",
        )
