"""What a server says it will send, checked before a byte of it is believed."""

import re
from dataclasses import dataclass
from email.message import Message

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.errors import StartOverError, TransientError
from reconciler.host.artifacts.ranges import Span

_CONTENT_RANGE = re.compile(r"^bytes (\d{1,18})-(\d{1,18})/(\d{1,18})$")
_FULL, _PART, _NO_SUCH_RANGE = 200, 206, 416


@dataclass(frozen=True, slots=True)
class Offer:
    """The file behind an answer to a range request."""

    size: int
    etag: str | None
    whole: bool
    """The server ignored the range and sends everything from the first byte."""


def range_headers(part: Span, etag: str | None) -> dict[str, str]:
    """Ask for `part`, but for the whole file if it is no longer the one with `etag`."""
    headers = {"Range": f"bytes={part[0]}-{part[1] - 1}"}
    if etag is not None and not etag.startswith("W/"):  # RFC 9110 13.1.5: a weak one does not guard bytes
        headers["If-Range"] = etag
    return headers


def read_offer(status: int, headers: Message, length: int | None, part: Span) -> Offer | None:
    """What the answer to a request for `part` offers; None where its status is an error.

    `length` is the body's length in bytes. TransientError for an answer that contradicts itself,
    StartOverError for one that is about another file than before.
    """
    if status == _NO_SUCH_RANGE and part[0] == 0:
        return Offer(0, None, whole=True)
    if status == _NO_SUCH_RANGE:
        raise StartOverError("the file on the server became shorter")
    if status not in {_FULL, _PART}:
        return None
    if headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise SourceError(
            f"the server compresses the file ({headers['Content-Encoding']}), though asked not to",
            hint="use another source; compressed bytes cannot be resumed or checked part by part",
        )
    if length is None:
        raise TransientError(
            "the server does not say how long the file is",
            hint="use a server that sends Content-Length, or download the file yourself and name it by file://",
        )
    etag = headers.get("ETag")
    if status == _FULL:
        if part[0] != 0:
            raise StartOverError("the file on the server changed, or it cannot resume")
        return Offer(length, etag, whole=True)
    found = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if found is None:
        raise TransientError("the server sent a part without saying which")
    first, last, size = (int(number) for number in found.groups())
    if first != part[0] or last != min(part[1], size) - 1 or length != last - first + 1:
        raise TransientError(
            f"the server sent bytes {first}-{last} where {part[0]}-{part[1] - 1} were asked for"
        )
    return Offer(size, etag, whole=False)
