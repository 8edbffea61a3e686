"""Placements joined to the flow: headers from wherever they are, and what a plan says of them."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.core.errors import SourceError
from reconciler.core.gpu import HostMemory
from reconciler.core.operations import Verb
from reconciler.core.types import Bytes, ProfileName
from reconciler.demo.tiny_model import tiny_model
from reconciler.kinds.artifact.layout import WantedVersion, wanted_version
from reconciler.placement.devices import UNKNOWN_GPU_BANDWIDTH
from reconciler.reconcile import session
from reconciler.reconcile.headers import figures_of, hub_address
from reconciler.reconcile.placement import ground_of
from reconciler.reconcile.plan import Request
from reconciler.spec.load import load
from reconciler.spec.settings import Sources
from tests.gpu.cards import GIB, card
from tests.support.hub import Hub

MODEL = tiny_model("I am far away.", layers=4)
SPEC = """\
models:
  - id: m
    current_version: v1
    versions: [{{version_id: v1, gguf_url: "{url}", revision: {revision}, sha256: {sha256}}}]
    profiles: {{cpu_only: {{}}}}
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        figures_of.cache_clear()
        yield hub


def version(url: str, revision: str = "null", content: bytes = MODEL) -> WantedVersion:
    spec = load(
        {"m.yaml": SPEC.format(url=url, revision=revision, sha256=hashlib.sha256(content).hexdigest())}
    )
    return wanted_version(spec.models[0], spec.models[0].current)


def test_the_header_of_what_is_not_pulled_yet_is_read_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    padded = MODEL + bytes(20 * 1024 * 1024)
    revision = hub.add("org/repo", "m.gguf", padded)
    wanted = version("hf://org/repo/m.gguf", revision, padded)
    found = figures_of(str(tmp_path), wanted, Sources())
    assert len(found.model.architecture.layers) == 4
    asked = len(hub.requests)
    assert figures_of(str(tmp_path), wanted, Sources()) is found
    assert len(hub.requests) == asked
    assert hub.sent < len(padded) / 4


def test_the_header_of_what_is_not_resolved_is_the_one_at_its_source_now(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/repo", "m.gguf", MODEL)
    [file] = version("hf://org/repo/m.gguf").files
    unresolved = replace(version("hf://org/repo/m.gguf"), files=(replace(file, sha256=None),))
    assert figures_of(str(tmp_path), unresolved, Sources()).model.slots == 5


def test_without_the_network_the_reason_is_told(hub: Hub, tmp_path: Path) -> None:
    revision = hub.add("org/repo", "m.gguf", MODEL)
    with pytest.raises(SourceError, match="network is off"):
        figures_of(str(tmp_path), version("hf://org/repo/m.gguf", revision), Sources(offline=True))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A supervisor's socket lies below it, and pytest's own folders are too deep for one."""
    with TemporaryDirectory(prefix="mctl-") as folder:
        yield Path(folder)


def test_a_server_that_is_away_is_waited_for_once(monkeypatch: pytest.MonkeyPatch, short_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    spec = short_path / "spec"
    spec.mkdir()
    revision = "a" * 40
    entries = [
        SPEC.format(url=f"hf://org/repo/{name}.gguf", revision=revision, sha256=f"{number:064}")
        .removeprefix("models:\n")
        .replace("id: m", f"id: {name}")
        for number, name in enumerate(("one", "two"))
    ]
    (spec / "m.yaml").write_text(
        "settings: {supervisor: supervisord, engine: embedded}\nmodels:\n" + "".join(entries)
    )
    monkeypatch.setenv("MODELCTL_STORE", str(short_path / "store"))
    source = session.read_source(spec)
    site = session.open_source(source)
    with site.state() as state:
        plan = session.plan(source, site, state, Request())
    away, off = (warning for warning in plan.warnings if "without knowing" in warning)
    assert "127.0.0.1" in away
    assert "network is off" in off
    assert [operation.verb for operation in plan.operations][:2] == [Verb.PULL, Verb.PULL]


def test_a_file_of_the_users_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(MODEL)
    found = figures_of(str(tmp_path / "store"), version(f"file://{path}"), Sources())
    assert found.model.slots == 5


def test_the_external_tool_gets_the_address_on_the_hub(hub: Hub) -> None:
    revision = hub.add("org/repo", "m.gguf", MODEL)
    address = hub_address(version("hf://org/repo/m.gguf", revision))
    assert address == f"{hub.endpoint}/org/repo/resolve/{revision}/m.gguf"
    with pytest.raises(SourceError, match="not on the hub"):
        hub_address(version("https://example.org/m.gguf"))


def test_bandwidths_are_the_specs_then_the_cards_then_the_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = load(
        {
            "m.yaml": "settings: {bandwidths: {RTX 5080: 900, P40: 300}}\n"
            "profiles: {max: {gpus: [RTX 5080, RTX 4090, P100, Quadro]}}\n"
        }
    )
    monkeypatch.setenv("MODELCTL_STORE", str(tmp_path / "store"))
    (tmp_path / "spec").mkdir()
    site = session.open_any_folder(tmp_path / "spec")
    laptop = replace(card(1, "NVIDIA GeForce RTX 4090 Laptop GPU"), bandwidth=576e9)
    gpus = (card(0, "NVIDIA GeForce RTX 5080"), laptop, card(2, "Tesla P100"), card(3, "Quadro"))
    ground, _ = ground_of(spec, site, ProfileName("max"), gpus)
    assert [device.bandwidth for device in ground.devices] == [900e9, 576e9, 732e9, UNKNOWN_GPU_BANDWIDTH]
    assert ground.stated_bandwidths == {"GPU-0": 900}


def test_a_mac_is_as_fast_as_its_chip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = load({"m.yaml": "settings: {bandwidths: {ram: 300}}\nprofiles: {mac: {gpus: [metal]}}\n"})
    memory = HostMemory(Bytes(512 * GIB), Bytes(500 * GIB), Bytes(384 * GIB), "Apple M3 Ultra")
    monkeypatch.setattr("reconciler.reconcile.placement.host_memory", lambda: memory)
    monkeypatch.setenv("MODELCTL_STORE", str(tmp_path / "store"))
    (tmp_path / "spec").mkdir()
    ground, problem = ground_of(spec, session.open_any_folder(tmp_path / "spec"), ProfileName("mac"), ())
    assert problem is None
    assert [device.bandwidth for device in ground.devices] == [819e9]
    assert (ground.ram_bandwidth, ground.stated_bandwidths) == (300e9, {"ram": 300})
