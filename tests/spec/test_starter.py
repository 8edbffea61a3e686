"""The first spec: sound on every machine, and with a model that fits it."""

import jsonschema
import pytest
import ryaml

from reconciler.core.gpu import Gpu, HostMemory
from reconciler.core.machine import MachineFacts
from reconciler.core.types import Bytes
from reconciler.core.units import SupervisorKind
from reconciler.gpu.profiles import match
from reconciler.spec.load import load
from reconciler.spec.schema import schema
from reconciler.spec.starter import ram_reserve, starter

GIB = 1024**3


def gpu(name, gib, index=0):
    total = Bytes(int(gib * GIB))
    return Gpu(f"GPU-{index}0000000-aaaa", index, name, total, total, 0, 40, 10.0, ())


def machine(ram=32, gpus=(), unified=None, supervisor=SupervisorKind.SYSTEMD_USER):
    memory = HostMemory(Bytes(int(ram * GIB)), Bytes(int(ram * GIB)), unified)
    return MachineFacts("Linux x86_64", 8, memory, tuple(gpus), supervisor)


@pytest.mark.parametrize(
    ("facts", "model", "served"),
    [
        (machine(ram=2), "qwen2.5-0.5b", ["cpu_only"]),
        (machine(ram=0.5), "qwen2.5-0.5b", []),
        (machine(ram=16), "qwen2.5-coder-7b", ["cpu_only"]),
        (machine(ram=512), "qwen2.5-coder-7b", ["cpu_only"]),
        (machine(ram=16, gpus=[gpu("NVIDIA GTX 1050", 2)]), "qwen2.5-coder-7b", ["cpu_only"]),
        (machine(ram=16, gpus=[gpu("NVIDIA RTX 3060", 12)]), "qwen2.5-coder-7b", ["gpu", "cpu_only"]),
        (machine(ram=64, gpus=[gpu("NVIDIA RTX 4090", 23.99)]), "qwen2.5-coder-32b", ["gpu", "cpu_only"]),
        (machine(ram=128, gpus=[gpu("NVIDIA H200", 139.8)]), "gpt-oss-120b", ["gpu", "cpu_only"]),
        (machine(ram=512, unified=384 * GIB), "gpt-oss-120b", ["cpu_only"]),
        (machine(ram=8, gpus=[gpu("A", 12), gpu("B", 15.9, 1)]), "qwen2.5-coder-32b", ["max"]),
    ],
)
def test_it_loads_and_its_model_fits(facts, model, served):
    text = starter(facts)
    spec = load({"models.yaml": text})
    assert [m.id for m in spec.models] == [model]
    assert [name for name, settings in spec.models[0].profiles.items() if settings is not None] == served
    assert spec.settings.supervisor == facts.supervisor
    assert spec.models[0].current.hashes == ()
    assert list(jsonschema.Draft7Validator(schema()).iter_errors(ryaml.loads(text))) == []


def test_the_gpus_are_named_so_that_each_is_meant():
    gpus = (
        gpu("NVIDIA GeForce RTX 3060", 12, 0),
        gpu("NVIDIA GeForce RTX 3060 Ti", 8, 1),
        gpu("NVIDIA GeForce RTX 5080", 16, 2),
    )
    spec = load({"f": starter(machine(gpus=gpus))})
    assert spec.profiles["max"].gpus == ("RTX 5080", "GPU-00000000-aaaa", "RTX 3060 Ti")
    found = match({name: profile.gpus for name, profile in spec.profiles.items()}, gpus)
    assert [fault for profile in found for fault in profile.faults] == []
    assert found[0].gpus == (gpus[2], gpus[0], gpus[1])


def test_two_cards_of_a_kind_are_told_apart():
    gpus = (gpu("NVIDIA GeForce RTX 3090", 24, 0), gpu("NVIDIA GeForce RTX 3090", 24, 1))
    assert load({"f": starter(machine(gpus=gpus))}).profiles["max"].gpus == (gpus[0].uuid, gpus[1].uuid)


def test_an_odd_product_name_does_no_harm():
    text = starter(machine(gpus=[gpu('Odd: "card"\n# of {a} kind', 12)]))
    assert load({"f": text}).profiles["gpu"].gpus == ("GPU-00000000-aaaa",)


def test_what_stands_in_comments_is_sound_too():
    text = starter(machine())
    lines = [
        line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# personas", "#   - id"))
    ]
    assert lines == ["personas:", "  - id: reviewer"]
    rest = text.partition("# A model under another name")[2].splitlines()[1:]
    revived = "\n".join(line.removeprefix("# ") for line in rest if not line.endswith("leave alone:"))
    spec = load({"a": text, "b": revived})
    assert spec.personas[0].base_model == spec.models[0].id
    assert spec.pins == {spec.models[0].id: "v1"}


@pytest.mark.parametrize(("ram", "reserve"), [(0.5, 1), (8, 1), (23.5, 2), (64, 8), (1024, 16)])
def test_ram_that_is_left_for_the_rest(ram, reserve):
    assert ram_reserve(Bytes(int(ram * GIB))) == reserve * GIB
