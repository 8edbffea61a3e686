"""What the hub says of files, and its refusals in words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.core.errors import IntegrityError, SourceError
from reconciler.core.types import Sha256
from reconciler.host.artifacts.hub import hub_from_environment
from reconciler.host.artifacts.web import Token
from tests.support.artifacts import FILE, REPO, URL, fetch, fetcher, sha256_of, some_bytes
from tests.support.hub import Handler, Hub

CONTENT = some_bytes(1000)


def test_a_missing_revision_and_hash_are_resolved(tmp_path: Path, hub: Hub) -> None:
    commit = hub.add(REPO, FILE, CONTENT)
    got = fetch(fetcher(tmp_path, hub))
    assert (got.revision, got.sha256) == (commit, sha256_of(CONTENT))


def test_a_revision_is_kept_when_main_moves_on(tmp_path: Path, hub: Hub) -> None:
    commit = hub.add(REPO, FILE, CONTENT)
    hub.add(REPO, FILE, some_bytes(1000, seed=9))
    assert fetch(fetcher(tmp_path, hub), revision=commit).sha256 == sha256_of(CONTENT)


def test_small_files_that_the_hub_keeps_in_git_are_hashed_by_us(tmp_path: Path, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT, lfs=False)
    assert fetch(fetcher(tmp_path, hub)).sha256 == sha256_of(CONTENT)


def test_a_hash_in_the_spec_that_the_hub_contradicts_ends_before_the_download(
    tmp_path: Path, hub: Hub
) -> None:
    hub.add(REPO, FILE, CONTENT)
    with pytest.raises(IntegrityError, match="the spec says 0000"):
        fetch(fetcher(tmp_path, hub), sha256=Sha256("0" * 64))
    assert hub.sent == 0


@pytest.mark.parametrize(
    ("url", "revision", "reason"),
    [
        ("hf://org/nothing/a.gguf", None, "org/nothing does not exist, or it is private"),
        (f"hf://{REPO}/other.gguf", None, "there is no such file in org/repo"),
        (URL, "0" * 40, f"org/repo has no commit {'0' * 40}"),
        ("hf://org/gated/a.gguf", None, "the authors of org/gated want to be asked first"),
    ],
)
def test_what_is_not_there_is_said_in_words(
    tmp_path: Path, hub: Hub, url: str, revision: str | None, reason: str
) -> None:
    hub.add(REPO, FILE, CONTENT)
    hub.add("org/gated", "a.gguf", CONTENT)
    hub.gated.add("org/gated")
    with pytest.raises(SourceError, match=reason) as caught:
        fetch(fetcher(tmp_path, hub), url, revision=revision)
    assert caught.value.what.startswith(url)
    assert caught.value.hint is not None
    assert hub.endpoint in caught.value.hint


def test_a_private_repository_needs_the_token(tmp_path: Path, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT)
    hub.private[REPO] = "hf_secret"
    with pytest.raises(SourceError, match="does not exist, or it is private") as without:
        fetch(fetcher(tmp_path, hub))
    assert without.value.hint is not None
    assert "HF_TOKEN" in without.value.hint
    with pytest.raises(SourceError, match="your token may not see it") as wrong:
        fetch(fetcher(tmp_path, hub, token="hf_wrong"))  # noqa: S106 - of the test's own hub
    assert "hf_wrong" not in f"{wrong.value.what}{wrong.value.hint}"
    assert fetch(fetcher(tmp_path, hub, token="hf_secret")).sha256 == sha256_of(CONTENT)  # noqa: S106 - as above


def test_the_token_is_sent_to_the_hub_and_to_nobody_else(tmp_path: Path, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT)
    fetch(fetcher(tmp_path, hub, token="hf_secret"))  # noqa: S106 - of the test's own hub
    sent = {(request.path.startswith("/cdn/"), request.authorization) for request in hub.requests}
    assert sent == {(False, "Bearer hf_secret"), (True, None)}


def test_a_renamed_repository_is_followed_on_the_hub_itself(tmp_path: Path, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT)

    def renamed(handler: Handler) -> bool:
        if not handler.path.startswith("/old/"):
            return False
        handler.answer(307, {"Location": handler.path.replace("/old/name/", f"/{REPO}/")})
        return True

    hub.intercept = renamed
    assert fetch(fetcher(tmp_path, hub), f"hf://old/name/{FILE}").sha256 == sha256_of(CONTENT)


def test_offline_means_that_nobody_is_asked(tmp_path: Path, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT)
    by = fetcher(tmp_path, hub)
    offline = type(by)(by.store, type(by.network)(by.network.hub, by.network.policy, offline=True))
    with pytest.raises(SourceError, match="the network may not be used"):
        fetch(offline)
    assert not hub.requests
    got = fetch(by)
    assert fetch(offline, revision=got.revision, sha256=got.sha256) == got


def test_the_environment_speaks_as_it_does_to_the_hubs_own_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_from_environment(
        {"HF_ENDPOINT": "https://mirror.example/", "HF_TOKEN": " t ", "HF_HUB_OFFLINE": "ON"}
    )
    assert (hub.endpoint, hub.offline) == ("https://mirror.example", True)
    assert hub.token is not None
    assert (hub.token.origin.host, hub.token.value) == ("mirror.example", "t")
    assert "hf_secret" not in repr(Token(hub.token.origin, "hf_secret"))
    assert hub_from_environment({}).endpoint == "https://huggingface.co"
    assert hub_from_environment({"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}).token is None


def test_the_token_of_a_login_is_found(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_from_login\n")
    code = (
        "import os; from reconciler.host.artifacts.hub import hub_from_environment as h;"
        "print(h(os.environ).token.value)"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "hf_from_login\n"


def test_the_hubs_own_library_understands_the_hub_of_these_tests(tmp_path: Path, hub: Hub) -> None:
    """Otherwise the tests above would prove little."""
    commit = hub.add(REPO, FILE, CONTENT)
    code = (
        "import huggingface_hub as h, sys;"
        f"print(h.HfApi().model_info({REPO!r}).sha, h.hf_hub_download({REPO!r}, {FILE!r}))"
    )
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sha, path = done.stdout.split()
    assert sha == commit
    assert Path(path).read_bytes() == CONTENT
