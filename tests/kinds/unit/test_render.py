"""Rendered units: stable texts, exact round trips, and nothing that could add a line."""

import os
import plistlib
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from reconciler.core.errors import FormatError, SpecError
from reconciler.core.units import SupervisorKind
from reconciler.kinds.unit.ownership import Ownership, ownership_of
from reconciler.kinds.unit.parse import parse_argv
from tests.support.units import a_definition, rendered

GOLDEN = Path(__file__).parents[2] / "golden" / "units"
FILES = {
    SupervisorKind.SYSTEMD: "system.service",
    SupervisorKind.SYSTEMD_USER: "user.service",
    SupervisorKind.LAUNCHD: "launchd.plist",
    SupervisorKind.SUPERVISORD: "supervisord.conf",
    SupervisorKind.PM2: "pm2.json",
}
every_kind = pytest.mark.parametrize("kind", list(SupervisorKind))

# Everything that UTF-8 and XML can carry, with the characters that some format treats as syntax made likely.
_characters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn"))
_words = st.text(st.one_of(st.sampled_from(" \"'\\%$;#(){}<>&=,:!~*?[]-@+|"), _characters), max_size=20)
_arguments = st.lists(
    st.one_of(_words, st.sampled_from(["%(here)s", " ;", " #x", "%%h", "${HOME}", "]]>"])), max_size=6
)


@every_kind
def test_a_unit_is_rendered_as_reviewed(kind: SupervisorKind) -> None:
    """After a change of templates: MODELCTL_UPDATE_GOLDEN=1 pytest tests/kinds/unit, then read the diff."""
    path = GOLDEN / FILES[kind]
    text = rendered(kind)
    if os.environ.get("MODELCTL_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@every_kind
@given(arguments=_arguments)
def test_every_argv_is_read_back_exactly(kind: SupervisorKind, arguments: list[str]) -> None:
    argv = ("/usr/bin/llama-server", *arguments)
    assert parse_argv(rendered(kind, argv=argv), kind) == argv


@every_kind
@given(program=_words)
def test_a_nasty_path_of_the_program_is_read_back_exactly(kind: SupervisorKind, program: str) -> None:
    argv = (f"/opt/{program}", "--port", "1")
    assert parse_argv(rendered(kind, argv=argv), kind) == argv


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(arguments=_arguments, value=_words)
def test_supervisord_itself_reads_what_was_meant(arguments: list[str], value: str) -> None:
    argv = ("/usr/bin/llama-server", *arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            text = rendered(
                SupervisorKind.SUPERVISORD,
                argv=argv,
                environment=(("VALUE", value),),
                working_directory=folder,
                log_path=f"{folder}/a % b.log",
                user=None,
            )
        except SpecError as error:
            assert "environment value" in error.what  # noqa: PT017 - the one value that its format cannot hold
            return
        program = _read_by_supervisord(Path(folder), text)
        assert tuple(shlex.split(program.command)) == argv
        assert program.environment["VALUE"] == value
        assert program.directory == folder
        assert program.stdout_logfile == f"{folder}/a % b.log"


def _read_by_supervisord(folder: Path, text: str) -> Any:
    """The program as supervisord's configuration reader understands it."""
    main = folder / "supervisord.conf"
    main.write_text("[supervisord]\n[include]\nfiles=unit.conf\n", encoding="utf-8")
    (folder / "unit.conf").write_text(text, encoding="utf-8")
    options = ServerOptions()
    options.here = str(folder)
    options.configfile = str(main)
    (group,) = options.read_config(str(main)).process_group_configs
    return group.process_configs[0]


@given(value=_words)
def test_launchd_reads_every_variable_and_path_back(value: str) -> None:
    text = rendered(
        SupervisorKind.LAUNCHD, environment=(("VALUE", value),), working_directory=f"/srv/{value}"
    )
    document = plistlib.loads(text.encode())
    assert document["EnvironmentVariables"]["VALUE"] == value
    assert document["WorkingDirectory"] == f"/srv/{value}"


@every_kind
@pytest.mark.parametrize("bad", ["\n", "\0", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\uffff"])
@pytest.mark.parametrize(
    "changes",
    [
        lambda bad: {"argv": ("/usr/bin/x", f"a{bad}ExecStartPre=/bin/evil")},
        lambda bad: {"argv": (f"/usr/bin/x{bad}",)},
        lambda bad: {"environment": (("A", bad),)},
        lambda bad: {"environment": ((f"A{bad}", ""),)},
        lambda bad: {"description": f"a{bad}b"},
        lambda bad: {"working_directory": f"/srv/{bad}"},
        lambda bad: {"log_path": f"/srv/{bad}.log"},
        lambda bad: {"read_paths": (f"/{bad}",)},
        lambda bad: {"write_paths": (f"/{bad}",)},
        lambda bad: {"user": f"me{bad}"},
    ],
    ids=["argument", "program", "value", "key", "description", "folder", "log", "read", "write", "user"],
)
def test_a_control_character_anywhere_is_refused(
    kind: SupervisorKind, bad: str, changes: Callable[[str], dict[str, Any]]
) -> None:
    with pytest.raises(SpecError):
        rendered(kind, **changes(bad))


@pytest.mark.parametrize("argv", [(), ("llama-server",), ("",)])
def test_the_program_must_have_an_absolute_path(argv: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match="absolute path"):
        rendered(SupervisorKind.SYSTEMD, argv=argv)


@every_kind
def test_ownership_is_read_back(kind: SupervisorKind) -> None:
    text = rendered(kind)
    assert ownership_of(text, kind) == Ownership("box-1", 7, a_definition().config_hash)


@every_kind
def test_an_argument_cannot_pretend_to_be_the_owner(kind: SupervisorKind) -> None:
    text = rendered(
        kind, argv=("/bin/x", "X-Modelctl-Owner=evil", "; X-Modelctl-Owner=evil", '"owner": "evil"')
    )
    owner = ownership_of(text, kind)
    assert owner is not None
    assert owner.owner == "box-1"


@every_kind
@pytest.mark.parametrize(
    "text", ["", "[Service]\nExecStart=/bin/x\n", "{}", "[]", '{"modelctl": {}}', "<plist/>"]
)
def test_a_foreign_file_has_no_owner(kind: SupervisorKind, text: str) -> None:
    assert ownership_of(text, kind) is None


@pytest.mark.parametrize("owner", ["", "a b", "a\nb", "a--b", "-a", "a-->", "x" * 129])
def test_an_owner_that_some_format_could_not_hold_is_refused(owner: str) -> None:
    with pytest.raises(FormatError):
        Ownership(owner, 1, "1:0")


@every_kind
def test_a_damaged_file_has_no_command(kind: SupervisorKind) -> None:
    with pytest.raises(FormatError):
        parse_argv("nonsense", kind)
