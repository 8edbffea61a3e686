"""The same promises for llama-server and for the embedded engine, kept by real processes."""

import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import openai
import pytest

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.engine import Engine
from reconciler.host.health import Health, look
from tests.support.serving import Served, free_port, process, served
from tests.support.waiting import wait_until

ENDS_WITHIN_SECONDS = 10


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_requests_at_once_all_get_the_models_own_answer(
    engine: Engine, model: Path, answer: str, parallel: int
) -> None:
    with served(engine, model, parallel=parallel) as server, ThreadPoolExecutor(6) as pool:
        asked = [
            pool.submit(server.chat, f"question {number}", temperature=number / 5) for number in range(6)
        ]
        assert {one.result() for one in asked} == {answer}


def test_a_slot_has_the_context_that_was_asked_for(engine: Engine, model: Path) -> None:
    with served(engine, model, parallel=3, context_tokens=768) as server:
        status, slots = server.ask("/slots")
    assert status == 200
    assert [slot["n_ctx"] for slot in slots] == [768] * 3


def test_without_a_context_each_request_may_use_all_of_the_models_own(engine: Engine, model: Path) -> None:
    with served(engine, model, parallel=2, context_tokens=None) as server:
        _, slots = server.ask("/slots")
    assert [slot["n_ctx"] for slot in slots] == [8192, 8192]


def test_the_official_client_streams_the_answer_word_by_word(
    engine: Engine, model: Path, answer: str
) -> None:
    with served(engine, model) as server:
        client = openai.OpenAI(base_url=f"{server.endpoint}/v1", api_key="none", max_retries=0)
        chunks = [
            chunk.choices[0].delta.content
            for chunk in client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "Who?"}], stream=True
            )
            if chunk.choices and chunk.choices[0].delta.content
        ]
        names = [one.id for one in client.models.list()]
    assert "".join(chunks) == answer
    assert len(chunks) > 5
    assert names == ["tiny"]


def test_a_models_embeddings_tell_texts_apart(engine: Engine, model: Path) -> None:
    with served(engine, model, embedding=True, flags={"pooling": "mean"}) as server:
        _, answer = server.ask("/v1/embeddings", {"input": ["abc", "abc", "xyz"]})
    one, same, other = (entry["embedding"] for entry in answer["data"])
    assert one == same != other


def test_an_api_key_is_asked_for_and_never_in_the_argv(engine: Engine, model: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret-one\n")
    with served(engine, model, api_key_file=str(keys)) as server:
        assert server.ask("/v1/models")[0] == 401
        assert server.ask("/v1/models", key="secret-one")[0] == 200
        assert "secret-one" not in str(server.process.args)


def test_a_socket_that_a_killed_server_left_is_no_obstacle(
    engine: Engine, model: Path, answer: str, short_folder: Path
) -> None:
    path = short_folder / "tiny.sock"
    with served(engine, model, socket_path=path) as first:
        assert first.chat() == answer
        first.process.kill()
        first.process.wait(ENDS_WITHIN_SECONDS)
    assert path.exists()
    with served(engine, model, socket_path=path) as second:
        assert second.chat() == answer


def test_a_socket_that_another_server_answers_on_is_left_alone(
    engine: Engine, model: Path, answer: str, short_folder: Path, tmp_path: Path
) -> None:
    path = short_folder / "tiny.sock"
    endpoint = SocketEndpoint(str(path))
    with served(engine, model, socket_path=path) as first:
        log = tmp_path / "second.log"
        command = (*engine.command_for(endpoint), "--model", str(model), "--host", str(path))
        with process(command, log) as second:
            assert second.wait(ENDS_WITHIN_SECONDS) == 1
        assert "another server listens" in log.read_text()
        assert first.chat() == answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(engine: Engine, model: Path, number: signal.Signals) -> None:
    with served(engine, model) as server:
        said = "serving on" if engine.kind == "embedded" else "listening on"
        wait_until(lambda: said in server.log.read_text(), 30, "the signal handler in place")
        wait_until(lambda: _is_idle(server), 30, "idle")
        server.process.send_signal(number)
        assert server.process.wait(ENDS_WITHIN_SECONDS) == 0


def _is_idle(server: Served) -> bool:
    """Whether its main loop waits, so that llama-server's signal handler finds no lock held."""
    _, slots = server.ask("/slots")
    return not any(slot["is_processing"] for slot in slots) and look(server.endpoint) is Health.READY


def test_while_the_model_loads_it_says_so_and_a_signal_still_ends_it(engine: Engine, tmp_path: Path) -> None:
    endless = tmp_path / "endless.gguf"
    _named_pipe(endless)  # opening it to read blocks until somebody writes
    endpoint = TcpEndpoint("127.0.0.1", free_port())
    command = (*engine.command, "--model", str(endless), "--port", str(endpoint.port))
    with process(command, tmp_path / "log") as server:
        wait_until(lambda: look(endpoint) is not Health.SILENT, 30, "listening")
        assert look(endpoint) is Health.LOADING
        server.terminate()
        assert server.wait(ENDS_WITHIN_SECONDS) == -signal.SIGTERM


def _named_pipe(path: Path) -> None:
    subprocess.run(("mkfifo", str(path)), check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--bogus",), "error: invalid argument: --bogus", id="unknown flag"),
        pytest.param(("--ctx-size",), "expected value for argument", id="no value"),
        pytest.param(("--ctx-size", "many"), 'error while handling argument "--ctx-size"', id="bad value"),
        pytest.param(("--cache-type-k", "q9"), "--cache-type-k", id="unknown type"),
        pytest.param(
            ("--model", "/nowhere/at-all.gguf", "--port", "0"), "/nowhere/at-all.gguf", id="no file"
        ),
    ],
)
def test_a_bad_command_line_ends_with_1_and_says_why(
    engine: Engine, arguments: tuple[str, ...], words: str
) -> None:
    done = _run(*engine.command, *arguments)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_broken_file_ends_with_1(engine: Engine, model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100_000])
    done = _run(*engine.command, "--model", str(model), "--port", "0")
    assert done.returncode == 1
    assert str(model) in done.stderr


def test_a_port_in_use_ends_with_1(engine: Engine, model: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        port = str(holder.getsockname()[1])
        done = _run(*engine.command, "--model", str(model), "--port", port)
    assert done.returncode == 1
    assert f"couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {port}" in done.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
