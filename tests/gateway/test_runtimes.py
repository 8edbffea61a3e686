"""Real runtimes and real clients on both sides."""

import json
from typing import Any

import pytest
from openai import OpenAI

from reconciler.core.endpoint import TcpEndpoint
from reconciler.core.engine import Engine
from reconciler.demo.tiny_model import tiny_model
from tests.gateway.process import CHAT, Gateway
from tests.support.serving import served


@pytest.mark.parametrize("over_socket", [False, True])
def test_a_real_runtime_answers_behind_it(gateway: Gateway, engine: Engine, over_socket: bool) -> None:
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("Here I am."))
    with served(engine, model, socket_path=gateway.folder / "a.sock" if over_socket else None) as server:
        assert isinstance(server.endpoint, TcpEndpoint) is not over_socket
        gateway.route(server.endpoint)
        assert chat(gateway)["choices"][0]["message"]["content"] == "Here I am."
        events = chat_events(gateway)
        assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "Here I am."
        assert gateway.ask("POST", "/v1/chat/completions", "{").status == 400
        assert gateway.ask("GET", "/nowhere").status == 404
        assert gateway.ask("HEAD", "/health").content == b""
        assert gateway.in_flight() == 0


def chat(gateway: Gateway) -> Any:
    answer = gateway.ask("POST", "/v1/chat/completions", json.dumps(CHAT))
    assert answer.status == 200, answer.content
    return answer.json


def chat_events(gateway: Gateway) -> list[Any]:
    content = gateway.ask("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True})).content
    lines = [line.removeprefix(b"data: ") for line in content.split(b"\n\n") if line]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


def test_official_clients_work_through_it(gateway: Gateway, engine: Engine) -> None:
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("Here I am."))
    with (
        served(engine, model, socket_path=gateway.folder / "a.sock") as server,
        OpenAI(base_url=f"http://localhost:{gateway.port}/v1", api_key="none") as client,
    ):
        gateway.route(server.endpoint)
        said = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "?"}])
        assert said.choices[0].message.content == "Here I am."
        assert [found.id for found in client.models.list()] == ["tiny"]
