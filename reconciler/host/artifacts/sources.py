"""What a source in the spec names: a file on the hub, a web server, this machine or in Ollama's store."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reconciler.core.errors import SourceError
from reconciler.core.ollama import OllamaName, parse_name

_REPO_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$")
_HUB_PARTS = 3
"""Organisation, repository and at least one part of a path."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file in a repository on the Hugging Face hub (or what HF_ENDPOINT names)."""

    repo: str
    path: str

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.path}"


@dataclass(frozen=True, slots=True)
class WebSource:
    """A file on a web server."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of the user's on this machine; it is copied, never linked."""

    path: Path

    def __str__(self) -> str:
        return f"file://{self.path}"


@dataclass(frozen=True, slots=True)
class OllamaSource:
    """A GGUF of a local Ollama store."""

    name: OllamaName
    layer: str
    """Empty for the model itself, else `projector`, `adapter`, `adapter-2`, …"""

    def __str__(self) -> str:
        return f"ollama://{self.name}" + (f"#{self.layer}" if self.layer else "")


Source = HubSource | WebSource | FileSource | OllamaSource


def parse_source(url: str) -> Source:
    """Read a source as the spec writes it; SourceError says what is wrong with it."""
    if any(ord(character) < ord(" ") or character == "\x7f" for character in url):
        raise SourceError(f"{url!r} holds control characters", hint="write the source on one line")
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "hf":
        return _hub_source(url, rest)
    if separator and scheme in {"https", "http"}:
        return _web_source(url)
    if separator and scheme == "file":
        return _file_source(url, rest)
    if separator and scheme == "ollama":
        name, _, layer = rest.partition("#")
        return OllamaSource(parse_name(name), layer)
    raise SourceError(
        f"{url!r} is no source",
        hint="a source is hf://org/repo/file.gguf, https://…, file:///absolute/path.gguf or ollama://name:tag",
    )


def _hub_source(url: str, rest: str) -> HubSource:
    parts = rest.split("/")
    if len(parts) < _HUB_PARTS or not all(_REPO_PART.match(part) for part in parts[:2]):
        raise SourceError(f"{url} does not name a file on the hub", hint="write hf://org/repo/path/file.gguf")
    path = parts[2:]
    if any(part in {"", ".", ".."} or part != part.strip() for part in path) or any(
        c in rest for c in "?#\\"
    ):
        raise SourceError(
            f"{url} has no plain path", hint="write hf://org/repo/path/file.gguf, without .., ? or #"
        )
    return HubSource("/".join(parts[:2]), "/".join(path))


def _web_source(url: str) -> WebSource:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise SourceError(
            f"{url} is no web address: {error}", hint="write https://host/path/file.gguf"
        ) from None
    if not host:
        raise SourceError(f"{url} names no host", hint="write https://host/path/file.gguf")
    if parts.username is not None or parts.password is not None:
        raise SourceError(
            f"the address at {host} holds a user name or password",
            hint="secrets do not belong into the spec; serve the file without them or use file://",
        )
    return WebSource(url)


def _file_source(url: str, rest: str) -> FileSource:
    host, _, path = rest.partition("/")
    if host not in {"", "localhost"} or not path:
        raise SourceError(f"{url} is not absolute", hint="write file:///absolute/path.gguf")
    return FileSource(Path("/" + unquote(path)))
