"""Which store is meant is told from a broken spec, or not at all."""

import subprocess
from pathlib import Path

import pytest

from reconciler.core.errors import SpecError
from reconciler.reconcile.session import open_folder
from reconciler.reconcile.settings_alone import settings_alone

WHOLE = """\
# A machine.
settings:
  store: /srv/models  # on the large disk
  # and its supervisor:
  supervisor: supervisord

models:
  - id: a
    current_version: v1
    versions: [{version_id: v1, gguf_url: "file:///a.gguf"}]
    profiles: {cpu_only: {port: 8601}}
"""


@pytest.fixture(autouse=True)
def _no_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELCTL_STORE", raising=False)


def store_of(*texts: str) -> str | None:
    found = settings_alone({f"{number}.yaml": text for number, text in enumerate(texts)})
    return None if found is None else found.store


@pytest.mark.parametrize(
    "text",
    [
        WHOLE.replace("id: a", "idd: a"),
        WHOLE.replace("[{version_id", "[{{version_id"),
        WHOLE.replace("[{version_id", "[{{version_id").replace("\n", "\r\n"),
        WHOLE[: WHOLE.index("port")],
        WHOLE[: WHOLE.index("models:") + 1],
    ],
)
def test_a_fault_elsewhere_does_not_matter(text: str) -> None:
    assert store_of(text) == "/srv/models"


def test_no_prefix_of_a_file_that_cannot_be_read_names_another_store() -> None:
    for end in range(len(WHOLE)):
        head = WHOLE[:end] + "\n  ]"  # never YAML
        assert store_of(head) in {"/srv/models", None}, head


@pytest.mark.parametrize(
    "texts",
    [
        ("settings: {store: /srv/models, stor: x}\n", "models: [\n"),
        ("settings: {store: [1]}\n",),
        ("settings: {store: /a}\n", "settings: {store: /b}\n"),
        ("models: [\n",),
    ],
)
def test_what_contradicts_itself_or_is_lost_is_not_guessed(texts: tuple[str, ...]) -> None:
    assert store_of(*texts) is None


def test_settings_may_stand_in_several_files() -> None:
    assert store_of("settings: {supervisor: pm2}\n", "settings: {store: /srv/b}\n", WHOLE[-40:-3]) is None
    assert store_of("settings: {supervisor: pm2}\n", "settings: {store: /srv/b}\nmodels: 5\n") == "/srv/b"


def test_what_is_in_no_file_is_the_default() -> None:
    assert store_of("models: 5\n") == "~/.local/share/modelctl"


def test_the_last_commit_says_it_where_the_file_does_not(tmp_path: Path) -> None:
    spec = tmp_path / "spec"
    spec.mkdir()
    (spec / "a.yaml").write_text(WHOLE)
    for arguments in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "one")):
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        subprocess.run(("git", "-C", tmp_path, *who, *arguments), check=True, capture_output=True)
    (spec / "a.yaml").write_text(WHOLE[: WHOLE.index("/srv") + 3] + "\n  ]")
    assert open_folder(spec).places.store == "/srv/models"
    assert open_folder(spec).supervisor_kind == "supervisord"
    for end in range(WHOLE.index("models:")):
        (spec / "a.yaml").write_text(WHOLE[:end])
        assert open_folder(spec).places.store == "/srv/models", "an editor is still writing it"
    (spec / "a.yaml").write_text(WHOLE.replace("/srv/models", "/srv/new"))
    assert open_folder(spec).places.store == "/srv/new", "a person says so"


def test_where_nothing_tells_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("models: [\n")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SpecError, match="cannot be told which store is meant") as caught:
            open_folder(folder)
        assert "MODELCTL_STORE" in (caught.value.hint or "")
    monkeypatch.setenv("MODELCTL_STORE", "/srv/chosen")
    assert open_folder(tmp_path).places.store == "/srv/chosen"
