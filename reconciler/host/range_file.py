"""A few bytes of a file that is far away, by range requests under the rules of downloads."""

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.web import Client, Token

_PARTIAL, _WHOLE = 206, 200
_READ = 256 * 1024


class RangeFile:
    """A reader of bytes for headers, one request per read; `size` is known after the first."""

    def __init__(self, client: Client, url: str, token: Token | None = None) -> None:
        self._client = client
        self._url = url
        self._token = token
        self.size: int | None = None

    def __call__(self, offset: int, size: int, /) -> bytes:
        if size <= 0 or (self.size is not None and offset >= self.size):
            return b""
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        answer = self._client.get(self._url, headers, token=self._token)
        if answer.status not in {_PARTIAL, _WHOLE}:
            raise SourceError(f"the server answered {answer.status}", hint="open the address in a browser")
        if answer.status == _WHOLE and offset:
            raise SourceError("the server cannot send parts of files", hint="`modelctl pull` it first")
        total = (answer.header("Content-Range") or "").rpartition("/")[2]
        if total.isdecimal():
            self.size = int(total)
        elif answer.status == _WHOLE:
            self.size = answer.length
        content = bytearray()
        while len(content) < size and (piece := answer.read(min(_READ, size - len(content)))):
            content += piece
        answer.finish()
        return bytes(content)
