import pytest
from multidict import CIMultiDict

from reconciler.gateway.headers import request_headers, response_headers


def test_what_belongs_to_a_connection_stays_there() -> None:
    headers = CIMultiDict(
        [
            ("Connection", "keep-alive, X-Private"),
            ("connection", "x-other"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
            ("Trailer", "X-Sum"),
            ("Upgrade", "h2c"),
            ("Proxy-Authorization", "Basic x"),
            ("X-Private", "1"),
            ("X-Other", "2"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        ]
    )
    assert list(response_headers(headers).items()) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


def test_a_backend_connection_carries_one_request_and_no_expectation() -> None:
    headers = CIMultiDict({"Host": "localhost:8601", "Expect": "100-continue", "Authorization": "Bearer x"})
    assert dict(request_headers(headers)) == {
        "Host": "localhost:8601",
        "Authorization": "Bearer x",
        "Connection": "close",
    }


@pytest.mark.parametrize(
    ("received", "passed"),
    [
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"caf\xe9", "caf\u00e9"),
        (b"tab\there", "tab\there"),
        (b"bell\x07 and null\x00", "bell  and null "),
    ],
)
def test_a_value_can_always_be_written(received: bytes, passed: str) -> None:
    headers = CIMultiDict({"X-Name": received.decode("utf-8", "surrogateescape")})
    assert response_headers(headers)["X-Name"] == passed
