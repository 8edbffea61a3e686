"""A hub, or a server before it, that lies, breaks or stalls: a bounded end, nothing half-true kept."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.errors import IntegrityError, SourceError
from tests.support import hostile
from tests.support.artifacts import FILE, QUICK, REPO, URL, blobs, fetch, fetcher, sha256_of, some_bytes
from tests.support.hub import Hub, Intercept

CONTENT = some_bytes(300_000)
SHA256 = sha256_of(CONTENT)
LONGEST_SECONDS = 10.0


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add(REPO, FILE, CONTENT)
        yield hub


@pytest.mark.parametrize(
    ("behaviour", "error", "reason"),
    [
        pytest.param(
            hostile.status(404), SourceError, "redirects to, answered 404", id="404 where the hub sent us"
        ),
        pytest.param(hostile.status(429), SourceError, "429 Too Many Requests", id="429"),
        pytest.param(
            hostile.status(503, {"Retry-After": "3600"}), SourceError, "503", id="503 that wants an hour"
        ),
        pytest.param(hostile.status(500), SourceError, "500 Internal Server Error", id="500"),
        pytest.param(hostile.everywhere(502), SourceError, "502 Bad Gateway", id="502 from the hub itself"),
        pytest.param(hostile.status(418), SourceError, "answered 418", id="a status that makes no sense"),
        pytest.param(hostile.reset_after(1000), SourceError, "broke", id="reset after 1000 bytes, always"),
        pytest.param(hostile.drip, SourceError, "sent only", id="20 bytes a second"),
        pytest.param(hostile.drip_header, SourceError, "did not answer within", id="a header without end"),
        pytest.param(hostile.silence, SourceError, "sent nothing", id="silence"),
        pytest.param(hostile.promise_too_much, SourceError, "asked for", id="wrong Content-Length"),
        pytest.param(hostile.shift_ranges, SourceError, "asked for", id="wrong Content-Range"),
        pytest.param(hostile.change_etag(), SourceError, "changed during", id="ETag changes between parts"),
        pytest.param(hostile.redirect_loop, SourceError, "redirects more than", id="redirect loop"),
        pytest.param(
            hostile.redirect_to("https://localhost:{port}/file"),
            SourceError,
            "private or special address",
            id="redirect to a private address",
        ),
        pytest.param(
            hostile.redirect_to("https://169.254.169.254/latest/meta-data"),
            SourceError,
            "private or special address 169.254.169.254",
            id="redirect to a cloud's metadata",
        ),
        pytest.param(
            hostile.redirect_to("http://example.com/file"),
            SourceError,
            "not encrypted",
            id="redirect to plain HTTP",
        ),
        pytest.param(
            hostile.redirect_to("file:///etc/passwd"), SourceError, "file://", id="redirect to a local file"
        ),
        pytest.param(
            hostile.redirect_to("http://[bad/"), SourceError, "no web address", id="redirect to nonsense"
        ),
        pytest.param(hostile.compress, SourceError, "compresses", id="gzip body"),
        pytest.param(hostile.empty, IntegrityError, "is empty", id="0 bytes"),
        pytest.param(hostile.hide_length, SourceError, "how long", id="no Content-Length"),
        pytest.param(hostile.chunk, SourceError, "how long", id="chunked"),
        pytest.param(hostile.other_bytes, IntegrityError, "expected was", id="wrong bytes"),
        pytest.param(hostile.other_length, IntegrityError, "were promised", id="longer than promised"),
        pytest.param(hostile.login_page, IntegrityError, "were promised", id="a login page"),
    ],
)
def test_a_hostile_server_gets_a_bounded_end_and_nothing_is_kept(
    tmp_path: Path, hub: Hub, behaviour: Intercept, error: type[SourceError], reason: str
) -> None:
    hub.intercept = behaviour
    began = time.monotonic()
    with pytest.raises(error, match=reason) as caught:
        fetch(fetcher(tmp_path, hub))
    assert time.monotonic() - began < LONGEST_SECONDS
    assert caught.value.what.startswith(URL)
    assert "\n" not in caught.value.what
    assert caught.value.hint
    assert not blobs(tmp_path)


@pytest.mark.parametrize(
    "behaviour",
    [hostile.status(503), hostile.silence, hostile.drip, hostile.shift_ranges, hostile.stop_early],
    ids=["503", "silence", "drip", "wrong range", "half"],
)
def test_one_failure_costs_one_try(tmp_path: Path, hub: Hub, behaviour: Intercept) -> None:
    hub.intercept = hostile.first(1, behaviour)
    assert fetch(fetcher(tmp_path, hub, limits=replace(QUICK, attempts=2, connections=1))).sha256 == SHA256


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(hostile.first(2, hostile.status(503)), id="503 twice"),
        pytest.param(hostile.first(1, hostile.status(403)), id="a signed address that has expired"),
        pytest.param(hostile.first(2, hostile.reset_after(100_000)), id="reset in the middle, twice"),
        pytest.param(hostile.reset_after(100_000), id="reset after each 100 kB, with progress"),
        pytest.param(hostile.first(1, hostile.drip), id="a drip, once"),
        pytest.param(hostile.first(1, hostile.silence), id="silence, once"),
        pytest.param(hostile.first(3, hostile.stop_early), id="half of what was asked for, thrice"),
        pytest.param(hostile.ignore_ranges, id="no ranges at all"),
        pytest.param(hostile.first(1, hostile.shift_ranges), id="a wrong range, once"),
        pytest.param(hostile.detour, id="a further redirect"),
    ],
)
def test_a_troubled_server_that_comes_round_is_enough(tmp_path: Path, hub: Hub, behaviour: Intercept) -> None:
    hub.intercept = behaviour
    assert fetch(fetcher(tmp_path, hub)).sha256 == SHA256
    assert blobs(tmp_path) == {f"sha256-{SHA256}"}
    assert not list((tmp_path / "partial").iterdir())
