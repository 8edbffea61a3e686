"""Parameters of a Modelfile that are the whole runtime's, beside those that are a tag's own."""

from typing import Any

import pytest

from reconciler.core.ollama import OllamaFile, OllamaManifest, OllamaModel, OllamaName
from reconciler.core.types import Bytes, Sha256
from reconciler.imports.ollama import read_ollama

FILE = OllamaManifest(OllamaFile(Sha256("a" * 64), Bytes(100)))


def tag(name: str, **parameters: Any) -> OllamaModel:
    return OllamaModel(
        OllamaName("registry.ollama.ai", "library", name, "latest"), 0.0, FILE, parameters=parameters
    )


@pytest.mark.parametrize(
    ("parameters", "strategy", "flags"),
    [
        ({"num_gpu": 20}, "manual", {"gpu-layers": 20}),
        ({"num_gpu": 0}, "manual", {"gpu-layers": 0}),
        ({"num_gpu": -1}, None, {}),
        ({"num_gpu": "12", "main_gpu": 1}, "manual", {"gpu-layers": 12, "main-gpu": 1}),
        ({"num_thread": 8, "num_batch": 0}, None, {"threads": 8}),
    ],
)
def test_layers_on_gpus_are_kept_as_flags(
    parameters: dict[str, Any], strategy: str | None, flags: dict[str, int]
) -> None:
    found = read_ollama([tag("tiny", **parameters)])
    assert (found.models[0].strategy, found.models[0].flags) == (strategy, flags)


def test_tags_of_one_file_share_a_runtime_and_that_is_said() -> None:
    found = read_ollama([tag("tiny", num_gpu=20), tag("tiny-slow", num_gpu=3, temperature=0.1, num_thread=2)])
    assert found.models[0].flags == {"gpu-layers": 20}
    said = [str(remark) for remark in found.remarks]
    assert "tiny-slow:latest: its num_gpu 3 is left out: it shares the runtime of tiny:latest" in said
    assert "tiny-slow:latest: its num_thread 2 is left out: it shares the runtime of tiny:latest" in said
