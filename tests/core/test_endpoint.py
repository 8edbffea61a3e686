import pytest

from reconciler.core.endpoint import Endpoint, SocketEndpoint, TcpEndpoint, parse_endpoint


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (TcpEndpoint("127.0.0.1", 8601), "http://127.0.0.1:8601"),
        (TcpEndpoint("::1", 8601), "http://[::1]:8601"),
        (SocketEndpoint("/run/modelctl/a.sock"), "unix:///run/modelctl/a.sock"),
    ],
)
def test_an_endpoint_reads_back_what_it_writes(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1:80", "https://a:1", "http://:1", "http://a:b", "unix://a.sock"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither"):
        parse_endpoint(text)
