"""The control socket and what it makes of a snapshot."""

import json
import socket
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.core.endpoint import SocketEndpoint
from reconciler.core.errors import FormatError
from reconciler.core.routes import Route, Snapshot
from reconciler.core.types import ModelId
from reconciler.host.gateway import reload, status, wait_up, write_snapshot
from reconciler.host.socket_http import SocketConnection
from tests.gateway.backends import backend, says
from tests.gateway.process import MODEL, Answer, Gateway, command, gateway_process
from tests.support.serving import free_port


def control(gateway: Gateway, method: str, path: str) -> Answer:
    with closing(SocketConnection(str(gateway.control), 10)) as connection:
        connection.request(method, path)
        return Answer.of(connection.getresponse())


def refuses(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_without_a_snapshot_there_are_no_routes(gateway: Gateway) -> None:
    found = gateway.status()
    assert found.pid == gateway.running.pid
    assert (found.routes, found.refused, found.backends) == ({}, {}, {})
    assert control(gateway, "GET", "/health").json == {"status": "ok"}


def test_the_snapshot_is_read_at_the_start(folder: Path) -> None:
    route = Route(MODEL, (free_port(),), None, 1.0)
    write_snapshot(folder / "gateway.json", Snapshot({MODEL: route}))
    with gateway_process(folder) as gateway:
        assert gateway.status().routes == {MODEL: route}
        assert not refuses(route.ports[0])


def test_a_broken_snapshot_at_the_start_is_no_route_and_a_line_in_the_log(folder: Path) -> None:
    (folder / "gateway.json").write_text("{")
    with gateway_process(folder) as gateway:
        assert gateway.status().routes == {}
        assert "cannot be read as the gateway's routes" in gateway.log
        gateway.route(None)
        assert not refuses(gateway.port)


def test_a_reload_opens_and_closes_ports(gateway: Gateway) -> None:
    first, second = Route(MODEL, (gateway.port,), None, 1.0), Route(ModelId("b"), (free_port(),), None, 1.0)
    assert gateway.put(first).routes == {MODEL: first}
    assert gateway.put(second).routes == {second.model: second}
    assert refuses(gateway.port)
    assert not refuses(second.ports[0])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format_version": 2, "routes": []}',
        '{"format_version": 1, "routes": [{"model": "a"}]}',
        '{"format_version": 1, "routes": [{"model":"a","ports":[1e999],"backend":null,"hold_seconds":1}]}',
        '{"format_version": 1, "routes": [{"model":"a","ports":[99999],"backend":null,"hold_seconds":1}]}',
        '{"format_version": 1, "routes": [{"model":"a","ports":[9],"backend":17,"hold_seconds":1}]}',
        "\xff",
    ],
)
def test_a_snapshot_that_is_none_changes_nothing(gateway: Gateway, content: str) -> None:
    with backend(gateway.folder / "a.sock", says(b"here")) as here:
        before = gateway.route(here.endpoint)
        gateway.snapshot.write_bytes(content.encode("latin-1"))
        assert control(gateway, "POST", "/reload").error() == (400, "invalid_snapshot")
        with pytest.raises(FormatError, match="gateway refuses its routes"):
            reload(gateway.control)
        assert gateway.status().routes == before.routes
        assert gateway.ask().content == b"here"


def test_two_models_cannot_have_one_port(gateway: Gateway) -> None:
    routes = [Route(ModelId(name), (gateway.port,), None, 1.0) for name in ("a", "b")]
    with pytest.raises(FormatError, match=f"a and b both want port {gateway.port}"):
        gateway.put(*routes)


def test_a_port_of_somebody_else_is_refused_alone_and_tried_again(gateway: Gateway) -> None:
    with closing(socket.create_server(("127.0.0.1", free_port()))) as other:
        taken = other.getsockname()[1]
        found = gateway.put(Route(MODEL, (gateway.port, taken), None, 1.0))
        assert found.refused.keys() == {taken}
        assert "in use" in found.refused[taken]
        assert f"port {taken} cannot be opened" in gateway.log
        assert not refuses(gateway.port)
    assert gateway.status().refused.keys() == {taken}
    assert reload(gateway.control).refused == {}
    assert not refuses(taken)


def test_a_port_can_move_to_another_model_without_being_closed(gateway: Gateway) -> None:
    with (
        backend(gateway.folder / "a.sock", says(b"a")) as a,
        backend(gateway.folder / "b.sock", says(b"b")) as b,
    ):
        gateway.route(a.endpoint)
        with closing(gateway.connection()) as client:
            client.request("GET", "/")
            assert client.getresponse().read() == b"a"
            gateway.put(Route(ModelId("other"), (gateway.port,), b.endpoint, 1.0))
            client.request("GET", "/")
            assert client.getresponse().read() == b"b"


def test_backends_are_counted_and_their_idle_time_too(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", says(b"a")) as a:
        use = gateway.route(a.endpoint).backends[str(a.endpoint)]
        assert (use.requests, use.idle_seconds < 5) == (0, True)
        gateway.route(SocketEndpoint("/nowhere/b.sock"))
        assert gateway.status().backends.keys() == {str(a.endpoint), "unix:///nowhere/b.sock"}


def test_the_socket_is_for_its_user_alone(gateway: Gateway) -> None:
    assert stat.S_IMODE(gateway.control.stat().st_mode) == 0o600


def test_a_second_gateway_is_refused_and_the_first_stays(gateway: Gateway) -> None:
    second = subprocess.run(command(gateway.folder), capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 3
    assert "another gateway listens on" in second.stderr
    assert gateway.status().pid == gateway.running.pid


def test_the_socket_of_a_killed_gateway_is_taken_over(folder: Path) -> None:
    with gateway_process(folder) as first:
        first.running.kill()
        first.running.wait()
        assert first.control.exists()
        assert status(first.control) is None
        with gateway_process(folder) as second:
            assert second.status().pid == second.running.pid


def test_of_many_gateways_that_start_at_once_one_serves(folder: Path) -> None:
    gateways = [subprocess.Popen(command(folder), stderr=subprocess.DEVNULL) for _ in range(4)]
    try:
        serving = wait_up(folder / "control.sock", deadline_seconds=20).pid
        assert {gateway.wait(20) for gateway in gateways if gateway.pid != serving} == {3}
        assert reload(folder / "control.sock").pid == serving
    finally:
        for gateway in gateways:
            gateway.kill()
            gateway.wait()


def test_a_file_in_the_way_is_not_removed(folder: Path) -> None:
    (folder / "control.sock").write_text("precious")
    failed = subprocess.run(command(folder), capture_output=True, text=True, timeout=30, check=False)
    assert failed.returncode == 3
    assert "is no socket" in failed.stderr
    assert (folder / "control.sock").read_text() == "precious"


def test_a_socket_that_cannot_be_is_said_to_be_so(folder: Path) -> None:
    too_long = folder / ("long" * 20) / ("name" * 20)
    failed = subprocess.run(command(too_long), capture_output=True, text=True, timeout=30, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"cannot listen on {too_long}")
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize(("method", "path"), [("GET", "/reload"), ("POST", "/routes"), ("GET", "/")])
def test_what_the_control_socket_does_not_know(gateway: Gateway, method: str, path: str) -> None:
    assert control(gateway, method, path).error() == (404, "not_found")


def test_the_document_is_what_a_snapshot_is_and_more(gateway: Gateway) -> None:
    gateway.route(SocketEndpoint("/nowhere/a.sock"))
    document = json.loads(control(gateway, "GET", "/routes").content)
    assert document.keys() == {"pid", "format_version", "routes", "released", "refused", "backends"}
    assert document["routes"] == json.loads(gateway.snapshot.read_text())["routes"]


def test_help_is_said_without_a_gateway(folder: Path) -> None:
    shown = subprocess.run(
        (*command(folder), "--help"), capture_output=True, text=True, timeout=30, check=True
    )
    assert "--snapshot" in shown.stdout


def test_an_idle_connection_to_a_closed_port_is_closed(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", says(b"a")) as a:
        gateway.route(a.endpoint)
        with closing(gateway.connection()) as client:
            client.request("GET", "/")
            assert client.getresponse().read() == b"a"
            gateway.put()
            assert client.sock.recv(1) == b""
