import socket

from reconciler.host.reach import why_unreachable


def test_a_server_that_listens_is_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert why_unreachable(f"127.0.0.1:{server.getsockname()[1]}") is None


def test_a_port_without_a_listener_is_told_even_of_a_busy_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    assert "refused" in str(why_unreachable(address))
    assert "refused" in str(why_unreachable(address, busy=True))


def test_the_silence_of_a_busy_server_is_no_sign():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            asked = f"127.0.0.1:{address[1]}"
            assert why_unreachable(asked, busy=True) is None
            assert "no answer" in str(why_unreachable(asked))
