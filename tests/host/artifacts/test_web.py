"""HTTP as downloads use it: encrypted, checked, and with words for what goes wrong."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.addresses import AddressPolicy
from reconciler.host.artifacts.errors import TransientError
from reconciler.host.artifacts.limits import DEFAULT_LIMITS
from reconciler.host.artifacts.web import Client, Origin, whole_number
from tests.support import hostile
from tests.support.artifacts import FILE, QUICK, REPO, fetch, fetcher, sha256_of, some_bytes
from tests.support.hub import Handler, Hub

CONTENT = some_bytes(500_000)
LOCAL = AddressPolicy(frozenset({"127.0.0.1"}))


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client(LOCAL, QUICK)
    yield made
    made.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate needs openssl")
    path = tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run(
        ["openssl", *words.split(), "-keyout", "-", "-out", "-"], capture_output=True, check=True
    )
    path.write_bytes(made.stdout)
    return path


@pytest.fixture
def https_hub(certificate: Path) -> Iterator[Hub]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Hub(tls=context) as hub:
        hub.add(REPO, FILE, CONTENT)
        yield hub


def test_an_encrypted_download(
    tmp_path: Path, https_hub: Hub, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(fetcher(tmp_path / "store", https_hub)).sha256 == sha256_of(CONTENT)


def test_a_certificate_that_nobody_vouches_for_ends_the_download_at_once(
    tmp_path: Path, https_hub: Hub
) -> None:
    with pytest.raises(SourceError, match=r"the certificate of 127.0.0.1 is not trusted") as caught:
        fetch(fetcher(tmp_path / "store", https_hub))
    assert not isinstance(caught.value, TransientError)
    assert caught.value.hint is not None
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not https_hub.requests


def test_a_server_that_speaks_no_tls_is_no_defect_of_ours(client: Client, hub: Hub) -> None:
    with pytest.raises(TransientError, match=r"the connection to 127.0.0.1 broke"):
        client.get(f"https://127.0.0.1:{hub.port}/a.gguf", {})


def test_a_connection_is_used_again(client: Client, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT, lfs=False)
    ports: set[int] = set()

    def note(handler: Handler) -> bool:
        ports.add(handler.client_address[1])
        return False

    hub.intercept = note
    for start in range(0, 300, 100):
        headers = {"Range": f"bytes={start}-{start + 99}"}
        answer = client.get(f"{hub.endpoint}/{REPO}/resolve/main/{FILE}", headers)
        assert answer.read(1000) == CONTENT[start : start + 100]
        answer.finish()
    assert len(ports) == 1


def test_waiting_for_an_answer_can_be_ended_from_another_thread(client: Client, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT)
    hub.intercept = hostile.silence
    patient = Client(LOCAL, DEFAULT_LIMITS)
    timer = threading.Timer(0.2, patient.abort)
    timer.start()
    with pytest.raises(TransientError):
        patient.get(f"{hub.cdn}/cdn/{sha256_of(CONTENT)}", {})
    timer.join()
    patient.close()


def test_the_query_of_an_address_is_never_told(client: Client, hub: Hub) -> None:
    """Signed addresses are credentials."""
    hub.add(REPO, FILE, CONTENT)
    for behaviour in (hostile.silence, hostile.redirect_loop, hostile.status(503), hostile.drip_header):
        hub.intercept = behaviour
        with pytest.raises(SourceError) as caught:
            client.get(f"{hub.cdn}/cdn/{sha256_of(CONTENT)}?signature=secret", {})
        assert "secret" not in f"{caught.value.what} {caught.value.hint}"


@pytest.mark.parametrize("text", [None, "", "-1", "1.5", "0x10", " 1", "9" * 19, "9" * 5000])
def test_what_is_no_size_is_none(text: str | None) -> None:
    assert whole_number(text) is None
    assert whole_number("9" * 18) == 10**18 - 1


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Host/a", Origin("https", "host", 443)),
        ("http://host/a", Origin("http", "host", 80)),
        ("https://host:8443/a", Origin("https", "host", 8443)),
        ("https://[::1]:8443/a", Origin("https", "::1", 8443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin
