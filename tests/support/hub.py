"""A small Hugging Face hub on loopback, for real downloads in tests and benchmarks.

It answers what `modelctl` and `huggingface_hub` ask of a model repository, redirects large files to a "CDN"
path as the real one does, keeps a log of requests, and can be told to misbehave (see `hostile.py`).
"""

import argparse
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

_RESOLVE = re.compile(r"^/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$")
_INFO = re.compile(r"^/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?$")
_RANGE = re.compile(r"^bytes=(\d+)-(\d*)$")


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass(slots=True)
class Stored:
    """A file of a repository; `content` may be a path, so that large files need no memory."""

    content: bytes | Path
    sha256: str
    lfs: bool

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


Intercept = Callable[["Handler"], bool]
"""Answers a request in its own way and returns True, or returns False to let the hub answer it."""


@dataclass
class Hub:
    """Use as a context; `endpoint` is what HF_ENDPOINT should be."""

    files: dict[tuple[str, str, str], Stored] = field(default_factory=dict)
    """By repository, commit and path."""
    tips: dict[str, str] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)
    """Repository to the token that may read it."""
    gated: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    sent: int = 0
    """Bytes of file bodies that were sent."""
    tls: ssl.SSLContext | None = None
    """Speak HTTPS with this."""
    intercept: Intercept | None = None
    busy: int = 0
    """Requests that are being answered now."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, repo: str, path: str, content: bytes | Path, *, lfs: bool = True) -> str:
        """Put a file into a new commit on `main`, beside those of the commit before; returns the commit."""
        if isinstance(content, bytes):
            sha256 = hashlib.sha256(content).hexdigest()
        else:
            with content.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        before = self.tips.get(repo, "")
        commit = hashlib.sha1(f"{before} {path} {sha256}".encode(), usedforsecurity=False).hexdigest()
        for (known_repo, known_commit, known_path), stored in list(self.files.items()):
            if (known_repo, known_commit) == (repo, before):
                self.files[repo, commit, known_path] = stored
        self.files[repo, commit, path] = Stored(content, sha256, lfs)
        self.tips[repo] = commit
        return commit

    @property
    def port(self) -> int:
        return int(self._servers[0].server_address[1])

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def _scheme(self) -> str:
        return "http" if self.tls is None else "https"

    @property
    def cdn(self) -> str:
        """Where bytes are: another origin than the hub's, as in real life."""
        return f"{self._scheme}://127.0.0.1:{self._servers[1].server_address[1]}"

    def __enter__(self) -> Self:
        hub = self

        class Bound(Handler):
            def __init__(self, *arguments: object) -> None:
                self.hub = hub
                super().__init__(*arguments)  # type: ignore[arg-type]

        self._servers = [_Server(("127.0.0.1", 0), Bound) for _ in range(2)]
        for server in self._servers:
            if self.tls is not None:
                server.socket = self.tls.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """One connection; hostile behaviours use its parts."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = Request(self.command, self.path, self.headers["Range"], self.headers["Authorization"])
        with self.hub.lock:
            self.hub.requests.append(asked)
            self.hub.busy += 1
        try:
            self._dispatch()
        finally:
            with self.hub.lock:
                self.hub.busy -= 1

    def _dispatch(self) -> None:
        if self.hub.intercept is not None and self.hub.intercept(self):
            return
        if found := _RESOLVE.match(self.path):
            self._resolve(**found.groupdict())
        elif found := _INFO.match(self.path):
            self._info(**found.groupdict())
        elif self.path.startswith("/cdn/"):
            self._cdn()
        else:
            self.answer(404)

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        """A short answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refusal(self, repo: str) -> tuple[int, str] | None:
        if repo not in self.hub.tips:
            return 401, "RepoNotFound"
        if repo in self.hub.private and self.headers["Authorization"] != f"Bearer {self.hub.private[repo]}":
            return 401, "RepoNotFound"
        if repo in self.hub.gated:
            return 403, "GatedRepo"
        return None

    def _resolve(self, repo: str, revision: str, path: str) -> None:
        if refusal := self._refusal(repo):
            return self.answer(refusal[0], {"X-Error-Code": refusal[1]})
        commit = self.hub.tips[repo] if revision == "main" else revision
        if not any(key[:2] == (repo, commit) for key in self.hub.files):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        stored = self.hub.files.get((repo, commit, path))
        if stored is None:
            return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        if not stored.lfs:
            return self.body(stored, {"X-Repo-Commit": commit, "ETag": f'"{stored.sha256[:40]}"'})
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{stored.sha256}"',
            "X-Linked-Size": str(stored.size),
            "Location": f"{self.hub.cdn}/cdn/{stored.sha256}?signature=secret",
        }
        return self.answer(302, headers, b"Found. Redirecting to the CDN")

    def _info(self, repo: str, revision: str | None) -> None:
        if refusal := self._refusal(repo):
            return self.answer(refusal[0], {"X-Error-Code": refusal[1]})
        commit = self.hub.tips[repo] if revision in {None, "main"} else revision
        names = [key[2] for key in self.hub.files if key[:2] == (repo, commit)]
        document = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in names]}
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _cdn(self) -> None:
        stored = self.stored()
        if stored is None:
            return self.answer(404)
        return self.body(stored, {"ETag": f'"{stored.sha256}"'})

    def stored(self) -> Stored | None:
        """The file that a CDN path names."""
        sha256 = self.path.removeprefix("/cdn/").partition("?")[0]
        return next((stored for stored in self.hub.files.values() if stored.sha256 == sha256), None)

    def range(self, size: int) -> tuple[int, int] | None:
        """The asked range as first byte and end; None where everything is asked for."""
        found = _RANGE.match(self.headers["Range"] or "")
        if found is None:
            return None
        return int(found[1]), min(int(found[2] or size - 1) + 1, size)

    def body(self, stored: Stored, headers: dict[str, str]) -> None:
        """A file or a range of it, as an honest server sends it."""
        guard = self.headers["If-Range"]
        asked = self.range(stored.size) if guard in {None, headers.get("ETag")} else None
        start, end = asked or (0, stored.size)
        if start >= end and asked:
            return self.answer(416, {"Content-Range": f"bytes */{stored.size}"})
        self.send_response(206 if asked else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{stored.size}")
        self.end_headers()
        if self.command != "HEAD":
            self.send(stored, start, end)
        return None

    def send(self, stored: Stored, start: int, end: int) -> None:
        if isinstance(stored.content, bytes):
            view = memoryview(stored.content)[start:end]
            for position in range(0, len(view), 65536):
                piece = view[position : position + 65536]
                self.wfile.write(piece)
                self.count(len(piece))
            return
        with stored.content.open("rb") as file:
            self.count(self.connection.sendfile(file, start, end - start))

    def count(self, sent: int) -> None:
        with self.hub.lock:
            self.hub.sent += sent

    def log_message(self, *_: object) -> None:
        """The hub keeps its log in `requests`."""


def main() -> None:
    """Serve one file as `test/repo` until standard input ends; prints the endpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    with Hub() as hub:
        hub.add("test/repo", file.name, file)
        print(hub.endpoint, flush=True)
        input()


if __name__ == "__main__":
    main()
