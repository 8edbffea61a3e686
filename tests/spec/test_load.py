"""From texts to a spec: what merges, what is refused, and where the fault is."""

import pytest

from reconciler.spec.load import load

WHOLE = """\
settings:
  supervisor: supervisord
  reserve: {ram: 20GiB, vram: 512MiB}
  pool: {ports: 8601-8699, idle_timeout: 1h30m}
profiles:
  max: {gpus: ["RTX 5080", "RTX 3060"]}
  cpu_only: {gpus: []}
models:
  - id: coder
    purpose_tags: [code_understanding]
    context_tokens: 32768
    current_version: 2025-11-17-01
    versions:
      - version_id: 2025-11-17-01
        gguf_url: hf://org/repo/file.gguf
    memory_limit: 1024
    flags: {flash-attn: "on", threads: 4, mlock: true, temp: 0.5, lora: [a, b]}
    profiles:
      max: {port: 8700, gpu_percentages: [60, 40]}
      cpu_only:
personas:
  - id: doctor
    base_model: coder
    sampling: {temperature: 0, stop: ["</s>"]}
pins:
  coder: 2025-11-17-01
"""


def test_a_whole_spec():
    spec = load({"a.yaml": WHOLE})
    model = spec.models[0]
    assert spec.settings.reserve.ram == 20 * 1024**3
    assert spec.settings.pool.idle_timeout == 5400
    assert list(spec.settings.pool.port_range)[:2] == [8601, 8602]
    assert model.current.version_id == "2025-11-17-01"
    assert model.memory_limit == 1024
    assert model.flags == {"flash-attn": "on", "threads": 4, "mlock": True, "temp": 0.5, "lora": ("a", "b")}
    assert model.flags["mlock"] is True
    assert model.profiles["cpu_only"] is None
    assert [m.id for m, _ in spec.served("max")] == ["coder"]
    assert spec.served("cpu_only") == ()
    assert spec.pinned("coder") == "2025-11-17-01"


def marked(file: str, text: str) -> str:
    """The place of the mark in a text, as an editor shows it."""
    before = text[: text.index("▶")].split("\n")
    return f"{file}:{len(before)}:{len(before[-1]) + 1}"


@pytest.mark.parametrize("text", ["", "# nothing\n", "models:\npersonas:\npins:\n", "models: []\n"])
def test_sections_that_are_empty_or_commented_out_are_absent(text):
    spec = load({"a.yaml": text})
    assert spec.models == ()
    assert list(spec.profiles) == ["cpu_only"]


def test_lists_concatenate_and_maps_merge_in_the_order_of_the_files(model):
    spec = load(
        {
            "b.yaml": model("b") + "profiles: {last: {gpus: []}}\nsettings: {reserve: {vram: 2}}\n",
            "a.yaml": model("a")
            + "profiles: {cpu_only: {gpus: []}}\nsettings: {reserve: {ram: 1}, engine: x}\n",
            "c.yaml": "settings: {reserve: {}}\npins: {a: v1}\n",
        }
    )
    assert [m.id for m in spec.models] == ["a", "b"]
    assert list(spec.profiles) == ["cpu_only", "last"]
    assert (spec.settings.reserve.ram, spec.settings.reserve.vram, spec.settings.engine) == (1, 2, "x")
    assert spec.pins == {"a": "v1"}


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        ("settings.engine", "settings: {▶engine: a}", "settings:\n  ▶engine: a"),
        ("settings.reserve.ram", "settings: {reserve: {▶ram: 1}}", "settings: {reserve: {vram: 1, ▶ram: 1}}"),
        ("settings.sources.allow_private", "settings: {sources: {▶allow_private: [a]}}", None),
        ("profiles.x", "profiles: {▶x: {gpus: []}}", "profiles:\n  y: {gpus: []}\n  ▶x: {gpus: []}"),
        ("pins.a", "pins: {▶a: v1}", "pins: {▶a: v2}"),
        ("models", "▶models: []", "▶models: {}"),
    ],
)
def test_what_stands_in_two_files_names_both(faults, path, first, second):
    texts = {"a.yaml": first, "b.yaml": second or first}
    [(where, what, hint)] = faults({file: text.replace("▶", "") for file, text in texts.items()})
    first_place, second_place = (marked(file, text) for file, text in texts.items())
    assert where == second_place
    assert what == f"`{path}` stands in two files; the other is at {first_place}"
    assert hint == "keep one of them"


def test_the_same_id_in_two_files_names_both(faults, model):
    texts = {"a.yaml": model("x"), "b.yaml": model("y"), "c.yaml": "# c\n" + model("x")}
    assert faults(texts) == [
        ("c.yaml:3:9", "the model id `x` stands twice; the other is at a.yaml:2:9", "rename one of them")
    ]


def test_a_fault_in_the_second_file_is_placed_there(faults, model):
    texts = {
        "a.yaml": model("a") + "\n" + model("b").partition("\n")[2],
        "b.yaml": model("c").replace("v1", "v 1", 1),
    }
    [(where, what, _)] = faults(texts)
    assert where == "b.yaml:3:22"
    assert what.startswith("model `c`: `current_version`: 'v 1' is no id")


def test_the_yaml_of_every_file_is_read_before_the_verdict(faults):
    places = [
        where for where, _, _ in faults({"a.yaml": "a: b: c", "b.yaml": "x: 1\nx: 2", "c.yaml": "models: []"})
    ]
    assert places == ["a.yaml:1:5", "b.yaml:2:1"]


def test_all_faults_come_in_the_order_of_the_text(faults, model):
    text = "settings: {engine: 3, colour: red}\n" + model("a").replace("v1\n", "[]\n", 1) + "pins: {a: 1}\n"
    assert [where.partition(":")[2] for where, _, _ in faults(text)] == ["1:20", "1:23", "4:22", "9:11"]


def test_one_fault_is_an_error_of_its_own(faults):
    assert len(faults("models: 3")) == 1


def test_places_count_characters_whatever_the_line_ends_and_the_mark(faults):
    text = "# größer\r\nmodels:\r\n  - {display_name: 'ÄÖ😀', ▶idd: x}\r\n"
    places = [where for where, what, _ in faults("\ufeff" + text.replace("▶", "")) if "unknown" in what]
    assert places == [marked("spec.yaml", text)]
