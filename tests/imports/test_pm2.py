"""PM2's files: the ecosystem of the requirements as JSON and YAML, dumps, and what is no llama-server."""

import json
from typing import Any

import pytest

from reconciler.core.errors import FormatError, SpecError, UsageError
from reconciler.imports.fit import choose_profile, fit
from reconciler.imports.found import Found
from reconciler.imports.pm2 import read_pm2
from reconciler.spec.load import load
from reconciler.spec.render import render

MODELS = "/Volumes/BOWIE/_MODELS/HIGHERMIND models ready to use/HIGHERMIND-models"
NAMES = ("the-eternal", "1984", "fear-and-loathing")


def app(name: str, port: int, **changes: Any) -> dict[str, Any]:
    """One of the ecosystem in requirements 1, as `pm2 ecosystem` would have it in JSON."""
    return {
        "name": f"llama-{name}",
        "script": "llama.cpp/build/bin/llama-server",
        "args": [
            *("--model", f"{MODELS}/{name}-f16/{name}_f16.gguf", "--port", str(port)),
            *("--parallel", "1", "--ctx-size", "8192", "--host", "0.0.0.0"),  # noqa: S104 - as it stands there
        ],
        "cwd": "/Volumes/BOWIE/devrepo/llamacpp-HM",
        "max_restarts": 10,
        "autorestart": True,
        "max_memory_restart": "20G",
        "error_file": f"logs/{name}-error.log",
        "merge_logs": True,
        **changes,
    }


ECOSYSTEM = {"apps": [app(name, 8080 + number) for number, name in enumerate(NAMES)]}


def read(document: Any, file: str = "/srv/pm2/ecosystem.json") -> Found:
    return read_pm2(document if isinstance(document, str) else json.dumps(document), file, {})


def test_the_ecosystem_of_the_requirements_becomes_models() -> None:
    found = read(ECOSYSTEM)
    assert [(model.id, model.port) for model in found.models] == [
        ("llama-the-eternal", 8080),
        ("llama-1984", 8081),
        ("llama-fear-and-loathing", 8082),
    ]
    assert {(m.context_tokens, m.parallel, m.memory_limit) for m in found.models} == {(8192, 1, 20 * 1024**3)}
    assert not found.left_out


def test_the_result_is_a_valid_spec_with_the_same_ports_and_limits() -> None:
    empty = load({})
    fitted = fit(read(ECOSYSTEM), empty, choose_profile(empty, None))
    spec = load({"spec/imported.yaml": render(fitted.document())})
    assert [model.profiles["cpu_only"].port for model in spec.models if model.profiles["cpu_only"]] == [
        8080,
        8081,
        8082,
    ]
    assert {model.memory_limit for model in spec.models} == {20 * 1024**3}


def test_lists_yaml_and_prettylist_are_read_alike() -> None:
    models = read(ECOSYSTEM).models
    assert read(ECOSYSTEM["apps"]).models == models
    assert read(render(ECOSYSTEM), "/srv/pm2/ecosystem.yaml").models == models
    pretty = [{"name": one["name"], "pid": 1, "pm2_env": one} for one in ECOSYSTEM["apps"]]
    assert read(pretty).models == models


def test_a_dump_names_program_and_folder_in_its_own_words() -> None:
    entry = app("1984", 8081, pm_exec_path="/opt/bin/llama-server", pm_cwd="/srv", exec_interpreter="none")
    del entry["script"], entry["cwd"]
    entry["args"] = "-m 'a b.gguf' -c 4096 -np 2"
    (model,) = read([entry]).models
    assert (model.gguf_url, model.context_tokens, model.parallel) == ("file:///srv/a%20b.gguf", 2048, 2)


def test_other_apps_are_left_out_by_name_and_the_rest_goes_on() -> None:
    others = [
        {"name": "bot", "script": "bot.js"},
        {"name": "sh", "script": "bash", "args": ["-c", "llama-server -m a"]},
        {"name": "odd", "script": "llama-server", "args": {"a": 1}},
        app("bad", 1, max_memory_restart="much"),
    ]
    found = read({"apps": [*others, app("1984", 8081)]})
    assert [one.subject for one in found.left_out] == ["bot", "sh", "odd", "llama-bad"]
    assert [model.id for model in found.models] == ["llama-1984"]


def test_two_apps_of_one_name_get_two_ids() -> None:
    found = read({"apps": [app("a", 1), app("a", 2)]})
    assert [model.id for model in found.models] == ["llama-a", "llama-a-2"]


@pytest.mark.parametrize("name", ["ecosystem.config.js", "ecosystem.config.cjs", "e.mjs"])
def test_a_program_is_never_run(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        read("throw new Error()", f"/srv/{name}")
    assert "pm2 save" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "{", "null", "5", '{"apps": 5}', '{"apps": [5]}', "[" * 50_000])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises((FormatError, SpecError)):
        read(text)


def test_a_port_of_the_spec_is_not_taken_twice() -> None:
    spec = load({"a.yaml": "settings: {gateway: {listen: '127.0.0.1:8080'}}"})
    fitted = fit(read(ECOSYSTEM), spec, "cpu_only")
    assert fitted.models[0]["profiles"] == {"cpu_only": {}}
    assert any("port 8080 is taken by the gateway" in str(remark) for remark in fitted.remarks)


def test_importing_again_adds_nothing() -> None:
    found = read(ECOSYSTEM)
    spec = load({"a.yaml": render(fit(found, load({}), "cpu_only").document())})
    again = fit(found, spec, "cpu_only")
    assert not again.document()
    assert len(again.left_out) == len(NAMES)
    assert not [one for one in again.remarks if one.subject in {model.name for model in found.models}]


def test_limits_of_restarts_variables_and_logs_are_named() -> None:
    changes = {"restart_delay": 4000, "kill_timeout": 1600, "env": {"MODE": "x", "API_TOKEN": "geheim"}}
    found = read({"apps": [app("1984", 8081, **changes, env_production={"A": "b"})]})
    said = "\n".join(map(str, found.remarks))
    assert "its max_restarts 10, restart_delay 4000 are not taken over: here five crashes" in said
    assert "its kill_timeout 1600 are not taken over" in said
    assert "its variables API_TOKEN, MODE are not taken over" in said
    assert "its env_production are not taken over" in said
    assert "`modelctl logs`" in said
    assert "geheim" not in said


def test_of_a_dump_only_the_variables_that_the_engine_reads_are_named() -> None:
    env = {"HOME": "/root", "SSH_AUTH_SOCK": "/tmp/x", "GGML_VK_VISIBLE_DEVICES": "0"}
    said = "\n".join(map(str, read([app("1984", 8081, pm_exec_path="/opt/llama-server", env=env)]).remarks))
    assert "GGML_VK_VISIBLE_DEVICES" in said
    assert "SSH_AUTH_SOCK" not in said


def test_gpu_flags_are_kept_where_the_profile_has_gpus_and_said_where_not() -> None:
    one = app("1984", 8081)
    one["args"] += ["-ngl", "99", "-ts", "3,1"]
    found = read([one])
    with_gpus = load({"a.yaml": "profiles:\n  duo: {gpus: [RTX 5080, RTX 3060]}\n  cpu_only: {gpus: []}\n"})
    fitted = fit(found, with_gpus, "duo")
    said = "\n".join(map(str, fitted.remarks))
    assert "kept by `strategy: manual` (--gpu-layers, --tensor-split)" in said
    assert "the order of the profile's GPUs" in said
    [entry] = fitted.models
    assert (entry["strategy"], entry["flags"]) == ("manual", {"gpu-layers": 99, "tensor-split": "3,1"})
    fitted = fit(found, with_gpus, "cpu_only")
    assert "strategy" not in fitted.models[0]
    assert "flags" not in fitted.models[0]
    assert any("profile `cpu_only` has no GPU" in str(remark) for remark in fitted.remarks)
