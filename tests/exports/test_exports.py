"""Exported files say the same as the unit, in the words of the programs that read them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.errors import SpecError
from reconciler.core.types import Bytes, UnitName
from reconciler.core.units import GpuAccess, UnitDefinition
from reconciler.exports.compose import to_compose
from reconciler.exports.pm2 import to_pm2
from reconciler.exports.quadlet import to_quadlet
from reconciler.exports.runtime import Runtime
from reconciler.imports.pm2 import read_pm2
from reconciler.kinds.unit.parse import _systemd_words

FOLDER = "/srv/my store/models/ada/v1"
FLAGS = (
    *("--model", f"{FOLDER}/model.gguf", "--alias", "ada", "--host", "127.0.0.1", "--port", "8601"),
    *("--parallel", "2", "--ctx-size", "4096", "--temp", "0.5", "--metrics"),
)
DEFINITION = UnitDefinition(
    name=UnitName("llama@ada-max"),
    description="Ada under profile max (modelctl)",
    argv=("/opt/llama-server", *FLAGS),
    environment=(("CUDA_VISIBLE_DEVICES", "GPU-1,GPU-2"), ("MODELCTL_MODEL", "ada")),
    working_directory="/srv/my store/state",
    log_path=None,
    memory_limit=Bytes(20 * 1024**3),
    read_paths=(),
    write_paths=(),
    gpu=GpuAccess.NVIDIA,
    loopback=True,
)
RUNTIME = Runtime(DEFINITION, TcpEndpoint("127.0.0.1", 8601), 1, FOLDER)
WORDS = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), codec="utf-8"), max_size=9)
)


def with_words(words: list[str]) -> Runtime:
    return replace(RUNTIME, definition=replace(DEFINITION, argv=("/opt/llama-server", *words)))


def test_pm2_runs_the_very_argv() -> None:
    (app,) = json.loads(to_pm2([RUNTIME])["ecosystem.json"])["apps"]
    assert (app["script"], *app["args"]) == DEFINITION.argv
    assert app["max_memory_restart"] == DEFINITION.memory_limit
    assert app["env"] == {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}


def test_what_goes_out_to_pm2_comes_back() -> None:
    (model,) = read_pm2(to_pm2([RUNTIME])["ecosystem.json"], "/x/ecosystem.json", {}).models
    assert (model.id, model.port, model.context_tokens, model.parallel) == ("ada", 8601, 2048, 2)
    assert model.memory_limit == DEFINITION.memory_limit
    assert model.gguf_url == "file:///srv/my%20store/models/ada/v1/model.gguf"
    assert model.flags == {"temp": 0.5}


def test_compose_has_ports_limits_gpus_and_the_files() -> None:
    service = YAML(typ="safe", pure=True).load(to_compose([RUNTIME])["compose.yaml"])["services"]["ada-max"]
    assert service["image"] == "ghcr.io/ggml-org/llama.cpp:server-cuda"
    assert service["ports"] == ["127.0.0.1:8601:8601"]
    assert service["mem_limit"] == DEFINITION.memory_limit
    assert service["volumes"] == [{"type": "bind", "source": FOLDER, "target": FOLDER, "read_only": True}]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == ["GPU-1", "GPU-2"]
    words = service["command"]
    assert words[words.index("--host") + 1] != "127.0.0.1"
    assert [w for w in words if w in FLAGS] == [w for w in FLAGS if w != "127.0.0.1"]


@given(WORDS)
def test_compose_gives_every_word_back(words: list[str]) -> None:
    service = YAML(typ="safe", pure=True).load(to_compose([with_words(words)])["compose.yaml"])["services"][
        "ada-max"
    ]
    assert [word.replace("$$", "$") for word in service["command"]] == [w.replace("$$", "$") for w in words]
    assert all(word.replace("$$", "").count("$") == 0 for word in service["command"])


@given(WORDS)
def test_quadlets_give_every_word_back(words: list[str]) -> None:
    try:
        (text,) = to_quadlet([with_words(words)]).values()
    except SpecError:
        return
    (line,) = (line for line in text.split("\n") if line.startswith("Exec="))
    assert [word.replace("$$", "$") for word in _systemd_words(line.removeprefix("Exec="))] == [
        word.replace("$$", "$") for word in words
    ]


def test_a_quadlet_has_ports_limits_gpus_and_the_files() -> None:
    lines = to_quadlet([RUNTIME])["llama-ada-max.container"].split("\n")
    assert f"Volume={FOLDER}:{FOLDER}:ro" in lines
    assert "PublishPort=127.0.0.1:8601:8601" in lines
    assert "AddDevice=nvidia.com/gpu=GPU-2" in lines
    assert f"PodmanArgs=--memory={DEFINITION.memory_limit}" in lines
    assert "HealthCmd=curl -fsS http://127.0.0.1:8601/health" in lines


def test_a_socket_is_shared_with_the_container() -> None:
    argv = ("/opt/llama-server", "--model", "/m", "--host", "/run/modelctl/ada.sock")
    runtime = Runtime(replace(DEFINITION, argv=argv), SocketEndpoint("/run/modelctl/ada.sock"), 1, FOLDER)
    service = YAML(typ="safe", pure=True).load(to_compose([runtime])["compose.yaml"])["services"]["ada-max"]
    assert service["command"] == list(argv[1:])
    assert service["volumes"][1]["source"] == "/run/modelctl"
    assert "ports" not in service


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/rm", "\x00", "\u2028"])
def test_nothing_can_end_a_line_of_a_quadlet(word: str) -> None:
    with pytest.raises(SpecError):
        to_quadlet([with_words([word])])
