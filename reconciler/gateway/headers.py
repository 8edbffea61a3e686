"""Headers that a gateway passes on, and those that belong to one connection only (RFC 9110, 7.6.1)."""

import re

from multidict import CIMultiDict, MultiMapping

_OF_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def request_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """What goes to the backend; each of its connections carries one request.

    `Expect` is answered by the gateway itself, once it wants the body.
    """
    passed = _end_to_end(headers)
    passed.popall("Expect", None)
    passed["Connection"] = "close"
    return passed


def response_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """What goes to the client."""
    return _end_to_end(headers)


def _end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(",")}
    dropped = _OF_ONE_CONNECTION | named
    return CIMultiDict(
        (name, _writable(value)) for name, value in headers.items() if name.lower() not in dropped
    )


def _writable(value: str) -> str:
    """The value in UTF-8 and without control characters: aiohttp writes no others, or loses their bytes."""
    if value.isascii() and value.isprintable():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-8", "surrogateescape").decode("latin-1")
    return _CONTROL.sub(" ", value)
