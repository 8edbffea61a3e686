"""Addresses in the spec: where an artifact comes from and where the gateway listens."""

import re
from typing import NamedTuple

SOURCE_SCHEMES = ("hf://", "https://", "http://", "file://", "ollama://")

_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_HUB_PARTS = 3
_HIGHEST_PORT = 65535


class Listen(NamedTuple):
    """A host name or address (IPv6 without its brackets) and a TCP port."""

    host: str
    port: int


def parse_listen(text: str) -> Listen:
    """Read `127.0.0.1:8600`, `localhost:8600` or `[::1]:8600`; ValueError says what was expected."""
    found = _LISTEN.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= _HIGHEST_PORT:
        raise ValueError(f"{text!r} is not an address and port such as 127.0.0.1:8600 or [::1]:8600")
    return Listen(found["host"].strip("[]"), int(found["port"]))


def check_listen(text: str) -> str:
    parse_listen(text)
    return text


def check_source(url: str) -> str:
    """Hold a source to its scheme's form; ValueError says what was expected.

    `file://` takes an absolute path and nothing else: which folder `~` or a relative path means depends on
    who runs modelctl, and the same spec serves a person's shell and a system service.
    """
    if not url.startswith(SOURCE_SCHEMES):
        raise ValueError(
            f"{url!r} is no source; a source is hf://org/repo/file.gguf, https://…, file:///… or ollama://name:tag"
        )
    if any(character < " " or character == "\x7f" for character in url):
        raise ValueError(f"{url!r} holds control characters")
    scheme, _, rest = url.partition("://")
    parts = rest.split("/")
    if scheme == "hf" and (len(parts) < _HUB_PARTS or not all(parts) or {".", ".."} & set(parts)):
        raise ValueError(f"{url!r} is not hf://org/repo/file.gguf")
    if scheme == "file" and (not rest.startswith("/") or rest == "/" or {".", ".."} & set(parts)):
        raise ValueError(
            f"{url!r} is not an absolute path: write file:///folder/file.gguf, without `~` and `..`"
        )
    if not parts[0] and scheme != "file":
        raise ValueError(f"{url!r} names nothing after {scheme}://")
    return url
