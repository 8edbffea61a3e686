"""What only the embedded engine promises."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import xllamacpp

from reconciler.core.engine import Engine, read_help
from reconciler.embedded.flags import FLAGS, Flag
from reconciler.embedded.setters import Settings
from reconciler.embedded.usage import CommandLineError, read_command_line, usage
from reconciler.host.engine import find_engine
from tests.support.engines import llama_server
from tests.support.serving import process, served
from tests.support.waiting import wait_until


def test_help_lists_every_flag_so_that_the_parser_of_llama_servers_help_reads_it() -> None:
    flags, removed = read_help(usage())
    for flag in FLAGS:
        for name in (*flag.names, *flag.off):
            assert flags[name].names == (*flag.names, *flag.off)
            assert flags[name].value == flag.value
    assert not removed


def test_every_flag_is_one_of_llama_servers_with_the_same_arity() -> None:
    known = find_engine(str(llama_server())).flags
    for flag in FLAGS:
        for name in (*flag.names, *flag.off):
            assert name in known
            assert (known[name].value is None) == (flag.value is None), name


def test_no_spelling_stands_for_two_flags() -> None:
    names = [name for flag in FLAGS for name in (*flag.names, *flag.off)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.names[-1])
def test_every_flag_reaches_a_parameter_of_the_binding(flag: Flag, tmp_path: Path) -> None:
    settings = Settings(xllamacpp)
    for value in _samples(flag, tmp_path):
        flag.set(settings, value)
    settings.finish()


def _samples(flag: Flag, folder: Path) -> tuple[str, ...]:
    """Values that the flag takes, by its placeholder."""
    if flag.value is None:
        return ("on", "off") if flag.off else ("on",)
    if flag.value.startswith("{"):
        return tuple(flag.value.strip("{}").split(","))
    if flag.value == "[on|off|auto]":
        return ("on", "off", "auto")
    file = folder / "file"
    file.write_text("content")
    return _BY_NAME.get(flag.names[0]) or {
        "FNAME": (str(file),),
        "FILE": (str(file),),
        "JINJA_TEMPLATE_FILE": (str(file),),
        "PATH": (str(folder),),
        "FNAME:SCALE,...": (f"{file}:0.5",),
        "[on|off]": ("on", "off"),
    }.get(flag.value, ("2",))


_BY_NAME = {
    "-a": ("one,two",),
    "-lm": ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio"),
    "-lzm": ("on", "auto", "off"),
    "-ctk": ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"),
    "-ctv": ("q8_0",),
    "--spec-draft-type-k": ("q8_0",),
    "--spec-draft-type-v": ("q8_0",),
    "--spec-draft-device": ("none",),
    "--spec-type": ("draft-simple,ngram-mod",),
    "-ngl": ("auto", "all", "7"),
    "--spec-draft-ngl": ("auto", "all", "7"),
    "-ts": ("3,1", "20/9"),
    "-fitt": ("512", "512,1024"),
    "-dev": ("none",),
    "-ot": (r"blk\.1\.ffn=CPU",),
    "--numa": ("distribute", "isolate", "numactl"),
    "--chat-template-kwargs": ('{"enable_thinking": false}',),
    "--reasoning-format": ("none", "auto", "deepseek", "deepseek-legacy"),
}


def test_a_flag_takes_effect_in_the_server(embedded: Engine, model: Path) -> None:
    flags = {"temp": 0.25, "top-k": 7, "n-predict": 3, "slot-prompt-similarity": 0.5, "props": True}
    with served(embedded, model, flags=flags) as server:
        _, props = server.ask("/props")
        _, answer = server.ask("/completion", {"prompt": "Hi"})
    defaults = props["default_generation_settings"]["params"]
    assert defaults["temperature"] == pytest.approx(0.25)
    assert defaults["top_k"] == 7
    assert answer["tokens_predicted"] == 3


def test_underscores_count_as_dashes() -> None:
    assert read_command_line(["--ctx_size", "5"])[0].flag.names == ("-c", "--ctx-size")


def test_an_opposite_spelling_turns_a_switch_off() -> None:
    settings = Settings(xllamacpp)
    for given in read_command_line(["--no-warmup", "-nkvo"]):
        given.flag.set(settings, given.value)
    assert settings.params.warmup is False
    assert settings.params.no_kv_offload is True


def test_experts_and_overrides_add_up() -> None:
    settings = Settings(xllamacpp)
    for given in read_command_line(["--n-cpu-moe", "2", "-ot", "output=CPU"]):
        given.flag.set(settings, given.value)
    overrides = settings.finish().tensor_buft_overrides
    assert all(part in overrides for part in (r"blk\.0\.ffn", r"blk\.1\.ffn", "output=CPU"))


def test_a_value_is_never_taken_for_a_flag() -> None:
    assert [one.value for one in read_command_line(["--seed", "-1", "--host", "--port"])] == ["-1", "--port"]
    with pytest.raises(CommandLineError, match="expected value"):
        read_command_line(["--host"])


def test_the_version_names_the_build(embedded: Engine) -> None:
    assert embedded.build is not None
    assert xllamacpp.__version__.endswith(str(embedded.build))


def test_help_does_not_load_llama_cpp() -> None:
    code = (
        "import os, sys; os._exit = lambda code: sys.exit(f'{code} {\"xllamacpp\" in sys.modules}')\n"
        "from reconciler.embedded.launcher import main; main(['--help'])"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, cwd=_ROOT, timeout=60, check=False
    )
    assert done.stderr.strip() == "0 False"


_ROOT = Path(__file__).resolve().parents[2]


def test_it_starts_from_a_folder_with_modules_of_the_same_name(embedded: Engine, tmp_path: Path) -> None:
    for name in ("reconciler.py", "xllamacpp.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    done = subprocess.run(
        (*embedded.command, "--version"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.split()[0]) == (0, "version:")


def test_a_variable_of_llama_cpps_router_does_no_harm(
    embedded: Engine, model: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_SERVER_ROUTER_PORT", "1")
    with served(embedded, model) as server:
        assert server.chat() == answer


def test_a_signal_ends_it_in_the_middle_of_an_answer(embedded: Engine, model: Path) -> None:
    """llama-server itself (b11434) may lock up here: its signal handler wants a lock that decoding holds."""
    endless = {"prompt": "Hi", "n_predict": 60_000, "ignore_eos": True, "stream": True}
    with (
        served(embedded, model, context_tokens=65_536) as server,
        closing(server.connection()) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.request("POST", "/completion", json.dumps(endless), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.read(100)
        pool.submit(answer.read)
        wait_until(lambda: "serving on" in server.log.read_text(), 30, "the signal handler in place")
        server.process.terminate()
        assert server.process.wait(10) == 0


def test_its_socket_is_removed_on_a_clean_end(embedded: Engine, model: Path, short_folder: Path) -> None:
    path = short_folder / "tiny.sock"
    with served(embedded, model, socket_path=path) as server:
        wait_until(lambda: "serving on" in server.log.read_text(), 30, "the signal handler in place")
        server.process.terminate()
        assert server.process.wait(10) == 0
    assert not path.exists()


def test_a_file_where_the_socket_should_be_is_not_removed(
    embedded: Engine, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "precious.sock"
    path.write_text("data")
    log = tmp_path / "log"
    command = (*embedded.command, "--model", str(model), "--host", str(path))
    with process(command, log) as server:
        assert server.wait(30) == 1
    assert f"error: {path} exists and is no socket" in log.read_text()
    assert path.read_text() == "data"


@pytest.mark.slow
def test_a_listener_that_is_gone_ends_the_process(embedded: Engine, model: Path, short_folder: Path) -> None:
    path = short_folder / "tiny.sock"
    with served(embedded, model, socket_path=path) as server:
        path.unlink()
        assert server.process.wait(20) == 1
        assert "nothing listens on" in server.log.read_text()


def test_exec_needs_a_program_that_can_be_run(embedded: Engine, tmp_path: Path) -> None:
    for arguments, words in (
        ((), "--exec needs a program"),
        ((str(tmp_path / "none"),), "cannot be run: No such file"),
    ):
        done = subprocess.run(
            (*embedded.command, "--exec", *arguments), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert words in done.stderr


def test_a_pipe_that_closes_early_is_no_traceback(embedded: Engine) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            (*embedded.command, "--help"),
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
