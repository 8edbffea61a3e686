"""Which files a version has and how they are called."""

import pytest

from reconciler.core.places import Places
from reconciler.core.types import ModelId
from reconciler.kinds.artifact.layout import artifact_paths, shard_urls, wanted_version
from reconciler.spec.model import Companion, Lora, Model, Version

HASH = "a" * 64
SPLIT = "hf://org/repo/Q4/m-00001-of-00003.gguf"


def model(**version: object) -> Model:
    entry = {"version_id": "v1", "gguf_url": "hf://org/repo/m.gguf", **version}
    return Model.model_validate(
        {"id": "m", "current_version": "v1", "versions": [entry], "profiles": {"cpu_only": {}}}
    )


def test_one_file_is_called_model() -> None:
    wanted = wanted_version(m := model(sha256=HASH, revision="0" * 40), m.current)
    (file,) = wanted.files
    assert (file.name, file.at, file.sha256, file.revision) == ("model.gguf", (), HASH, "0" * 40)
    assert file.resolved
    assert str(wanted) == "m@v1"


def test_shards_keep_the_pattern_by_which_llama_cpp_finds_them() -> None:
    hashes = ["a" * 64, "b" * 64, "c" * 64]
    wanted = wanted_version(m := model(gguf_url=SPLIT, sha256=hashes), m.current)
    assert [file.name for file in wanted.files] == [f"model-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert [file.url for file in wanted.files] == [
        f"hf://org/repo/Q4/m-0000{n}-of-00003.gguf" for n in (1, 2, 3)
    ]
    assert [file.sha256 for file in wanted.files] == hashes


def test_shards_without_hashes_are_wanted_all_the_same() -> None:
    wanted = wanted_version(m := model(gguf_url=SPLIT), m.current)
    assert [file.sha256 for file in wanted.files] == [None, None, None]
    assert not any(file.resolved for file in wanted.files)


@pytest.mark.parametrize(
    "url", ["hf://o/r/m.gguf", "hf://o/r/m-00002-of-00003.gguf", "hf://o/r/m-00001-of-00000.gguf"]
)
def test_what_names_no_first_shard_is_one_file(url: str) -> None:
    assert shard_urls(url) == (url,)


@pytest.mark.parametrize(
    ("url", "revision", "resolved"),
    [
        ("hf://o/r/m.gguf", "0" * 40, True),
        ("hf://o/r/m.gguf", None, False),
        ("https://host/m.gguf", None, True),
        ("file:///m.gguf", None, True),
    ],
)
def test_a_revision_is_needed_on_the_hub_only(url: str, revision: str | None, *, resolved: bool) -> None:
    wanted = wanted_version(m := model(gguf_url=url, revision=revision, sha256=HASH), m.current)
    assert wanted.files[0].resolved is resolved


def test_companions_have_names_of_their_own() -> None:
    m = model(
        mmproj=Companion(url="hf://o/r/mmproj-f16.gguf"),
        loras=[Lora(url="hf://o/r/a.gguf", scale=0.5), Lora(url="hf://o/r/b.gguf", sha256=HASH)],
        draft=Companion(url="https://host/small.gguf"),
    )
    found = {file.name: file.at for file in wanted_version(m, m.current).files}
    assert found == {
        "model.gguf": (),
        "mmproj.gguf": ("mmproj",),
        "lora-1.gguf": ("loras", 0),
        "lora-2.gguf": ("loras", 1),
        "draft.gguf": ("draft",),
    }
    paths = artifact_paths(Places("/store"), ModelId("m"), m.current)
    folder = "/store/models/m/v1"
    assert paths.model == f"{folder}/model.gguf"
    assert paths.mmproj == f"{folder}/mmproj.gguf"
    assert paths.loras == ((f"{folder}/lora-1.gguf", 0.5), (f"{folder}/lora-2.gguf", 1.0))
    assert paths.draft == f"{folder}/draft.gguf"


def test_a_split_model_is_served_by_its_first_shard() -> None:
    version = Version(version_id="v1", gguf_url=SPLIT)
    assert (
        artifact_paths(Places("/s"), ModelId("m"), version).model
        == "/s/models/m/v1/model-00001-of-00003.gguf"
    )
