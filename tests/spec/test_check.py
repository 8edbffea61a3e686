"""What the values of a spec say together."""

import textwrap

import pytest

BASE = """\
settings: {gateway: {listen: 127.0.0.1:8600}, pool: {ports: 8601-8699}}
profiles:
  max: {gpus: [RTX 5080, RTX 3060]}
  b-c: {gpus: []}
  c: {gpus: []}
models:
  - id: a
    current_version: v1
    versions:
      - {version_id: v1, gguf_url: hf://o/r/a.gguf}
      - {version_id: v2, gguf_url: hf://o/r/a-00001-of-00003.gguf}
    profiles:
      max: {port: 8601, gpu_percentages: [70, 30]}
      c: null
"""
HASH = "0a" * 32


def model(name, rest="", *, profiles="{}", version="v1", url="hf://o/r/f.gguf"):
    return textwrap.indent(
        f"- id: {name}\n"
        f"  current_version: {version}\n"
        f"  versions:\n"
        f"    - version_id: v1\n"
        f"      gguf_url: {url}\n"
        f"{textwrap.indent(rest, '      ')}"
        f"  profiles: {profiles}\n",
        "  ",
    )


def placed(text):
    """The text without its marks, and their places in order."""
    places, plain = [], ""
    for part in text.split("▶"):
        if plain or text.startswith("▶"):
            lines = plain.split("\n")
            places.append(f"spec.yaml:{len(lines)}:{len(lines[-1]) + 1}")
        plain += part
    return plain, places


def check(faults, text):
    """The one fault of `text`, whose first mark is at the fault and whose second at the other place."""
    plain, places = placed(text)
    [(where, what, hint)] = faults(plain)
    assert where == places[-1]
    if len(places) > 1:
        assert what.endswith(f"; the other is at {places[0]}")
        what = what.removesuffix(f"; the other is at {places[0]}")
    return what, hint


def test_the_base_is_sound(faults):
    assert faults(BASE) == []


def test_a_model_id_that_stands_twice(faults):
    text = BASE.replace("id: a", "id: ▶a") + model("▶a")
    assert check(faults, text) == ("the model id `a` stands twice", "rename one of them")


def test_ids_that_one_file_system_takes_for_the_same(faults):
    text = BASE.replace("id: a", "id: ▶a") + model("▶A")
    assert check(faults, text)[0] == "the ids `a` and `A` differ only in case"


def test_a_persona_that_is_called_like_a_model(faults):
    text = BASE.replace("id: a", "id: ▶a") + "personas: [{id: ▶a, base_model: a}]\n"
    assert check(faults, text)[0] == "`a` is the id of a model and of a persona"


def test_a_persona_that_stands_twice(faults):
    text = BASE + "personas:\n  - {id: ▶p, base_model: a}\n  - {id: ▶p, base_model: a}\n"
    assert check(faults, text)[0] == "the persona id `p` stands twice"


def test_a_persona_without_its_model(faults):
    text = BASE + model("coder") + "personas: [{id: p, base_model: ▶codr}]\n"
    assert check(faults, text) == ("persona `p`: there is no model `codr`", "did you mean `coder`?")


def test_a_version_that_stands_twice(faults):
    text = BASE.replace("version_id: v1", "version_id: ▶v1").replace("version_id: v2", "version_id: ▶V1")
    what, hint = check(faults, text)
    assert what == "model `a`: the version `V1` stands twice"
    assert hint.startswith("a version never changes")


def test_a_current_version_that_does_not_exist(faults):
    text = BASE.replace("current_version: v1", "current_version: ▶v02")
    assert check(faults, text) == ("model `a`: there is no version `v02`", "did you mean `v2`?")
    text = BASE.replace("current_version: v1", "current_version: ▶latest")
    assert check(faults, text)[1] == "versions here: v1, v2"


def test_a_profile_that_does_not_exist_even_where_it_is_null(faults):
    what, hint = check(faults, BASE.replace("max: {port", "▶maxx: {port"))
    assert (what, hint) == ("model `a`: there is no profile `maxx`", "did you mean `max`?")
    assert check(faults, BASE.replace("c: null", "▶other: null"))[1] == "profiles of the spec: max, b-c, c"


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ("[100]", "has 1 share for 2 GPUs"),
        ("[]", "has 0 shares for 2 GPUs"),
        ("[50, 40, 10]", "has 3 shares for 2 GPUs"),
        ("[70, 20]", "sums to 90, not to 100"),
        ("[70, 40]", "sums to 110, not to 100"),
    ],
)
def test_shares_that_do_not_fit_the_profile(faults, shares, says):
    what, _ = check(faults, BASE.replace("[70, 30]", f"▶{shares}"))
    assert what == f"model `a`: profile `max`: `gpu_percentages` {says}"


def test_shares_where_there_is_no_gpu(faults):
    what, _ = check(faults, BASE.replace("c: null", "c: {gpu_percentages: ▶[100]}"))
    assert what.endswith("has 1 share for 0 GPUs")


def test_units_of_the_same_name(faults):
    text = BASE.replace("c: null", "▶b-c: {}") + model("a-b", profiles="{▶c: {}}")
    assert check(faults, text) == (
        "model `a-b`: profile `c`: model `a` has its unit `llama@a-b-c`",
        "rename the model or the profile",
    )


def test_unit_names_count_only_where_a_model_is_served(faults):
    assert faults(BASE.replace("c: null", "b-c: null") + model("a-b", profiles="{c: {}}")) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("max: {port: ▶8601, gpu_percentages: [70, 30]}\n      c: {port: ▶8601}", None),
        ("max: {port: ▶8601, gpu_percentages: [70, 30]}", "{c: {port: ▶8601}}"),
        ("max: {port: ▶8601, gpu_percentages: [70, 30]}", "{max: {port: ▶8601}}"),
    ],
)
def test_a_port_has_one_listener_over_all_profiles(faults, first, second):
    lines = "max: {port: 8601, gpu_percentages: [70, 30]}"
    text = BASE.replace(f"{lines}\n      c: null" if second is None else lines, first)
    what, hint = check(faults, text + (model("b", profiles=second) if second else ""))
    assert "port 8601 is taken by model `a` under profile `max`" in what
    assert hint == "choose another port"


def test_a_runtime_on_the_gateway_s_port(faults):
    text = BASE.replace("listen: 127", "listen: ▶127").replace("port: 8601", "port: ▶8600")
    assert check(faults, text)[0] == (
        "model `a` under profile `max`: port 8600 is taken by `settings.gateway.listen`"
    )


def test_both_faces_of_the_gateway_on_one_port(faults):
    text = BASE.replace("{listen: 127.0.0.1:8600}", "{listen: ▶127.0.0.1:8600, ollama_listen: ▶'[::1]:8600'}")
    assert check(faults, text)[0] == (
        "`settings.gateway.ollama_listen`: port 8600 is taken by `settings.gateway.listen`"
    )


def test_the_gateway_within_the_pool(faults):
    text = BASE.replace("8601-8699", "▶8500-8699").replace("listen: 127", "listen: ▶127")
    plain, (gateway, pool) = placed(text)
    [(where, what, _)] = faults(plain)
    assert where == gateway
    assert what == (
        "`settings.gateway.listen`: port 8600 lies in the pool's range 8500-8699; the other is at " + pool
    )


@pytest.mark.parametrize("ports", ["8699-8601", "0-10", "60000-70000"])
def test_a_pool_that_is_no_range(faults, ports):
    what, _ = check(faults, BASE.replace("8601-8699", f"▶{ports}"))
    assert what == f"`settings.pool.ports`: {ports} is no range"


@pytest.mark.parametrize(
    ("url", "hashes", "says"),
    [
        ("hf://o/r/f-00001-of-00002.gguf", HASH, "has 1 hash for 2 shards"),
        ("hf://o/r/f-00001-of-00002.gguf", f"[{HASH}]", "has 1 hash for 2 shards"),
        ("hf://o/r/f-00001-of-00002.gguf", f"[{HASH}, {HASH}, {HASH}]", "has 3 hashes for 2 shards"),
        ("hf://o/r/f.gguf", f"[{HASH}, {HASH}]", "has 2 hashes for 1 file"),
        ("hf://o/r/f.gguf", "[]", "has 0 hashes for 1 file"),
        ("hf://o/r/f-00001-of-00002.gguf", f"[{HASH}, {HASH}]", None),
        ("hf://o/r/f-00001-of-00001.gguf", f"'{HASH}'", None),
        ("hf://o/r/f.gguf", f"[{HASH}]", None),
    ],
)
def test_hashes_are_one_per_shard(faults, url, hashes, says):
    text = BASE + model("b", f"sha256: ▶{hashes}\n", url=url)
    if says is None:
        assert faults(text.replace("▶", "")) == []
    else:
        assert check(faults, text)[0] == f"model `b`: version `v1`: `sha256` {says}"


def test_a_later_shard_is_no_model(faults):
    what, hint = check(faults, BASE + model("b", url="▶hf://o/r/f-00002-of-00003.gguf"))
    assert what == "model `b`: version `v1`: `gguf_url` names shard 2"
    assert hint == "name the first: `-00001-of-00003.gguf`"


@pytest.mark.parametrize(
    ("pins", "says", "hint"),
    [
        ("{▶b: v1}", "the pin names no model: `b`", None),
        ("{a: ▶v9}", "the pin of model `a` names no version of it: `v9`", "versions there: v1, v2"),
        ("{a: ▶v2}", "model `a` is pinned to `v2`, but its version is `v1`", None),
    ],
)
def test_pins_that_hold_nothing(faults, pins, says, hint):
    what, advice = check(faults, BASE + f"pins: {pins}\n")
    assert what == says
    assert hint in (None, advice)


def test_independent_faults_come_together(faults):
    text = BASE.replace("[70, 30]", "[70]").replace("current_version: v1", "current_version: v7")
    assert len(faults(text + "pins: {zz: v1}\npersonas: [{id: p, base_model: q}]\n")) == 4
