import json
import os
import sys
from pathlib import Path

import pytest

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.engine import Engine
from reconciler.core.errors import EngineError
from reconciler.host import engine as module
from reconciler.host.engine import embedded_command, find_engine
from tests.support.engines import llama_server

HELP = """\
-m,    --model FNAME                    model path to load
-c,    --ctx-size N                     size of the prompt context
"""
ANSWERS = f"""\
#!/bin/sh
echo asked >> "$0.asked"
case "$1" in
  --version) echo "version: 6123 (79c1160b)" >&2 ;;
  --help) echo '{HELP}' ;;
esac
"""


def write_program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_program(tmp_path / "llama-server", ANSWERS)


def times_asked(program: Path) -> int:
    return len(Path(f"{program}.asked").read_text().splitlines())


def test_llama_server_tells_its_flags() -> None:
    found = find_engine(str(llama_server()))
    assert found.kind == "server"
    assert found.command == (str(llama_server()),)
    assert len(found.flags) > 200
    assert found.flags["-ngl"] is found.flags["--gpu-layers"]
    assert "--draft-max" in found.removed


def test_the_embedded_engine_knows_its_build() -> None:
    found = find_engine("embedded")
    assert found.kind == "embedded"
    assert found.build is not None
    assert found.label == f"the embedded llama.cpp b{found.build}"
    assert found.command == found.socket_command == embedded_command()


def test_auto_prefers_llama_server_on_the_path(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    found = find_engine("auto")
    assert (found.command, found.build) == ((str(program),), 6123)


def test_auto_takes_the_embedded_one_where_the_path_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("auto").kind == "embedded"


def test_a_bare_name_is_looked_up_on_the_path(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    named = write_program(program.with_name("llama-mine"), ANSWERS)
    assert find_engine("llama-mine").command == (str(named),)


def test_a_home_is_expanded(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(program.parent))
    assert find_engine("~/llama-server").command == (str(program),)


def test_on_a_socket_llama_server_is_started_behind_the_one_who_clears_its_way(program: Path) -> None:
    found = find_engine(str(program))
    assert found.command_for(TcpEndpoint("127.0.0.1", 1)) == (str(program),)
    assert found.command_for(SocketEndpoint("/a.sock")) == (*embedded_command(), "--exec", str(program))


def test_it_is_asked_once_and_again_when_the_file_changes(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "state" / "engines.json"
    first = find_engine(str(program), cache)
    assert find_engine(str(program), cache) == first
    assert times_asked(program) == 2  # --version and --help
    write_program(program, ANSWERS.replace("6123", "6124"))
    assert find_engine(str(program), cache).build == 6124
    assert times_asked(program) == 4


def test_it_is_asked_again_when_a_library_beside_it_changes(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "engines.json"
    library = tmp_path / "libllama.so"
    for size in (1, 2, 2):
        library.write_bytes(b"x" * size)
        os.utime(library, (0, 0))
        find_engine(str(program), cache)
    assert times_asked(program) == 4


def test_engines_share_the_cache(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "engines.json"
    other = write_program(tmp_path / "other", ANSWERS.replace("6123", "7000"))
    find_engine(str(program), cache)
    find_engine(str(other), cache)
    assert find_engine(str(program), cache).build == 6123
    assert find_engine(str(other), cache).build == 7000
    document = json.loads(cache.read_text())
    assert set(document["engines"]) == {str(program), str(other)}


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"format_version": 99}', '{"format_version": 1}', '"x"', "\0", "null"]
)
def test_a_damaged_cache_costs_only_another_question(program: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "engines.json"
    cache.write_text(damage)
    assert find_engine(str(program), cache).build == 6123
    assert json.loads(cache.read_text())["format_version"] == 1


def test_variables_that_llama_cpp_reads_flags_from_are_kept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "nonsense")
    strict = ANSWERS.replace("case", '[ -z "$LLAMA_ARG_CTX_SIZE" ] || exit 1\ncase')
    assert find_engine(str(write_program(tmp_path / "strict", strict))).build == 6123


def refused(setting: str | Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        find_engine(str(setting))
    assert caught.value.hint
    return caught.value


def test_a_missing_program_is_named() -> None:
    assert refused("/nowhere/llama-server").what == "the engine /nowhere/llama-server does not exist"


def test_a_program_that_may_not_be_run_is_told_how_to(program: Path) -> None:
    program.chmod(0o644)
    assert refused(program).hint == f"chmod +x {program}"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(
            "echo 'tar (GNU tar) 1.34'", "is no llama-server: it does not say its version", id="foreign"
        ),
        pytest.param("echo version: 1", "is no llama-server: it does not know --model", id="no flags"),
        pytest.param("kill -SEGV $$", "ends with signal 11", id="crash"),
        pytest.param(
            "echo no libcuda.so >&2; exit 127", "ends with exit status 127: no libcuda.so", id="library"
        ),
    ],
)
def test_a_program_that_is_no_llama_server_says_why(tmp_path: Path, script: str, words: str) -> None:
    assert words in refused(write_program(tmp_path / "fake", f"#!/bin/sh\n{script}\n")).what


def test_a_minimal_system_is_told_which_package_it_lacks(tmp_path: Path) -> None:
    said = "libgomp.so.1: cannot open shared object file: No such file or directory"
    lacking = write_program(tmp_path / "fake", f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    assert "apt install libgomp1" in str(refused(lacking).hint)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    assert "cannot be asked" in refused(write_program(tmp_path / "text", "\x7fELF nonsense")).what


def test_a_program_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.2)
    assert (
        "did not end within" in refused(write_program(tmp_path / "slow", "#!/bin/sh\nexec sleep 60\n")).what
    )


def test_without_any_engine_the_hint_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    error = refused("auto")
    assert "neither llama-server on PATH nor the embedded llama.cpp" in error.what
    assert "pip install xllamacpp" in str(error.hint)


def test_an_engine_of_unknown_build_is_named_by_its_version(program: Path) -> None:
    write_program(program, ANSWERS.replace("6123 (79c1160b)", "0.6.0-dev (build 0, commit unknown)"))
    found: Engine = find_engine(str(program))
    assert found.build is None
    assert found.label == "llama-server 0.6.0-dev (build 0, commit unknown)"
