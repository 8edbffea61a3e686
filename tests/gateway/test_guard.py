import pytest

from reconciler.gateway.guard import host_refusal, origin_refusal


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8601", "localhost.", "a.localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]:8601"],
)
def test_names_of_this_machine_may_be_asked(host: str) -> None:
    assert host_refusal([host]) is None
    assert origin_refusal([f"http://{host}"]) is None
    assert origin_refusal([f"HTTPS://{host}"]) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8601",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "192.168.1.5",
        "0.0.0.0",  # noqa: S104 - a name to refuse, nothing is bound
        "[::]:8601",
        "2130706433",
        "localhost:port",
        "localhost evil",
        "",
    ],
)
def test_other_names_may_not(host: str) -> None:
    assert host_refusal([host]) is not None
    assert origin_refusal([f"http://{host}"]) is not None


def test_a_request_without_host_is_from_no_browser() -> None:
    assert host_refusal([]) is None


def test_two_hosts_are_one_too_many() -> None:
    assert host_refusal(["localhost", "evil.example"]) is not None
    assert host_refusal(["localhost", "localhost"]) is not None


@pytest.mark.parametrize(
    "origin", ["null", "file://", "ftp://localhost", "localhost", "http://localhost/path"]
)
def test_an_origin_is_a_site_of_this_machine(origin: str) -> None:
    assert origin_refusal([origin]) is not None


def test_requests_without_origin_are_from_no_foreign_page() -> None:
    assert origin_refusal([]) is None
