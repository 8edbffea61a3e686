"""A configuration's second name: everything that names the unit goes with it, nothing else does."""

from dataclasses import replace

from reconciler.core.endpoint import SocketEndpoint
from reconciler.reconcile.stand_in import stand_in
from tests.support.paper import Wish


def test_a_stand_in_has_a_name_a_socket_and_a_log_of_its_own() -> None:
    unit = Wish("a").unit()
    name = "llama@a-cpu@23cf890d"
    argv = ("/bin/llama-server", "--host", "/run/a-cpu@23cf890d.sock", "--alias", "a")
    named = replace(unit.definition, name=name, argv=argv, log_path=f"/var/log/{name}.log")
    unit = replace(unit, definition=named, endpoint=SocketEndpoint("/run/a-cpu@23cf890d.sock"))
    other = stand_in(unit)
    mark = other.name.rpartition("@")[2]
    assert other.name == f"llama@a-cpu@{mark}"
    assert mark != "23cf890d"
    assert len(bytes.fromhex(mark)) == 4
    assert other.endpoint == SocketEndpoint(f"/run/a-cpu@{mark}.sock")
    assert other.definition.argv == (*argv[:2], f"/run/a-cpu@{mark}.sock", *argv[3:])
    assert other.definition.log_path == f"/var/log/llama@a-cpu@{mark}.log"
    assert replace(other, definition=named, endpoint=unit.endpoint) == unit
    assert stand_in(unit) == other
