import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconciler.core.errors import SourceError
from reconciler.gguf.reader import Part, read_header
from reconciler.host.artifacts.addresses import AddressPolicy
from reconciler.host.artifacts.limits import Limits
from reconciler.host.artifacts.web import Client
from reconciler.host.range_file import RangeFile
from tests.gguf.conftest import RawGguf


class Server(BaseHTTPRequestHandler):
    """Serves one body, by ranges or (`ranges=False`) whole; notes what was sent."""

    def __init__(self, *args, body: bytes, ranges: bool, sent: list[int], **kwargs) -> None:
        self.body, self.ranges, self.sent = body, ranges, sent
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        if self.path != "/model.gguf":
            self.send_error(404)
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        if self.ranges:
            content = self.body[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.body)}")
        else:
            content = self.body
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 65536):
            try:
                self.wfile.write(content[start : start + 65536])
            except OSError:
                return
            self.sent.append(min(65536, len(content) - start))

    def log_message(self, *args) -> None:
        pass


@contextmanager
def serving(body: bytes, *, ranges: bool = True) -> Iterator[tuple[str, list[int]]]:
    sent: list[int] = []
    handler = functools.partial(Server, body=body, ranges=ranges, sent=sent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client(AddressPolicy(frozenset({"127.0.0.1"})), Limits())
    yield made
    made.close()


@pytest.fixture
def model() -> bytes:
    tokens = RawGguf.string("some token") * 100_000
    raw = RawGguf().array("tokenizer.ggml.tokens", 8, 100_000, tokens)
    return raw.tensor("w", [16 * 1024 * 1024]).build(64 * 1024 * 1024)


def test_a_remote_header_takes_few_requests_and_little_of_the_file(client, model):
    with serving(model) as (address, sent):
        file = RangeFile(client, f"{address}/model.gguf")
        assert read_header(Part(file, "model.gguf")).token_count == 100_000
        assert file.size == len(model)
        assert sum(sent) < 4 * 1024 * 1024


def test_a_server_without_ranges_is_not_drained(client, model):
    with serving(model, ranges=False) as (address, sent):
        assert RangeFile(client, f"{address}/model.gguf")(0, 1000) == model[:1000]
        assert sum(sent) < len(model)
        with pytest.raises(SourceError, match="parts"):
            RangeFile(client, f"{address}/model.gguf")(1000, 1000)


def test_a_refusal_and_a_private_address_are_source_errors(client):
    with serving(b"") as (address, _):
        with pytest.raises(SourceError, match="404"):
            RangeFile(client, f"{address}/gone.gguf")(0, 10)
        with pytest.raises(SourceError):
            RangeFile(Client(AddressPolicy(), Limits()), f"{address}/model.gguf")(0, 10)
