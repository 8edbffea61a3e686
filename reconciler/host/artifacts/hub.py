"""The Hugging Face hub, or what HF_ENDPOINT names: which commit and which hash a file has.

`huggingface_hub` knows where tokens are kept; the requests are our own, so that the same checks of addresses
and deadlines hold for them, and so that a token is sent to the hub's origin only. Bytes come by plain range
requests to `/resolve/`: for repositories on Xet storage the hub answers these through its bridge as well.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from reconciler.core.errors import SourceError
from reconciler.core.types import REVISION_PATTERN, Bytes, Sha256, is_sha256
from reconciler.host.artifacts.sources import HubSource
from reconciler.host.artifacts.web import Answer, Client, Origin, Token, whole_number

PUBLIC_ENDPOINT = "https://huggingface.co"
_REVISION = re.compile(REVISION_PATTERN)
_TRUE = {"1", "on", "yes", "true"}


@dataclass(frozen=True)
class Hub:
    """Which hub is asked, and as whom."""

    endpoint: str
    find_secret: Callable[[], str | None]
    """Called once, when the hub is asked for the first time."""
    offline: bool = False

    @cached_property
    def token(self) -> Token | None:
        secret = self.find_secret()
        return Token(Origin.of(self.endpoint), secret) if secret else None

    @property
    def host(self) -> str:
        return Origin.of(self.endpoint).host


@dataclass(frozen=True, slots=True)
class HubFile:
    """What the hub says of a file at one commit."""

    url: str
    """Where its bytes are, at this very commit."""
    revision: str
    sha256: Sha256 | None
    """None for the small files that the hub keeps in Git itself."""
    size: Bytes | None


def hub_from_environment(environment: Mapping[str, str]) -> Hub:
    """As the hub's own tools do: HF_ENDPOINT, HF_HUB_OFFLINE, and HF_TOKEN or what `hf auth login` keeps."""

    def find_secret() -> str | None:
        if environment.get("HF_TOKEN") or _is_true(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
            return environment.get("HF_TOKEN", "").strip()
        from huggingface_hub import get_token  # noqa: PLC0415 - slow to import

        return get_token()

    return Hub(
        endpoint=(environment.get("HF_ENDPOINT") or PUBLIC_ENDPOINT).rstrip("/"),
        find_secret=find_secret,
        offline=_is_true(environment, "HF_HUB_OFFLINE"),
    )


def resolve(client: Client, hub: Hub, source: HubSource, revision: str | None) -> HubFile:
    """Ask the hub for a file's commit, hash and size; `revision` None means the tip of `main`.

    SourceError where it is not there or not for us; TransientError where the hub does not answer.
    """
    answer = client.head(_url(hub, source, revision or "main"), token=hub.token)
    if answer.status >= 400:  # noqa: PLR2004 - where errors begin
        raise explain(answer, hub, source, revision)
    commit = answer.header("X-Repo-Commit") or ""
    if _REVISION.match(commit) is None or (revision is not None and commit != revision):
        raise SourceError(
            f"{source}: {hub.host} does not say which commit it has"
            + (f" for {revision}" if revision else ""),
            hint="check HF_ENDPOINT; the answer is not one of a Hugging Face hub",
        )
    etag = (answer.header("X-Linked-Etag") or "").strip('"')
    size = whole_number(answer.header("X-Linked-Size"))
    return HubFile(
        url=_url(hub, source, commit),
        revision=commit,
        sha256=Sha256(etag) if is_sha256(etag) else None,
        size=None if size is None else Bytes(size),
    )


def explain(answer: Answer, hub: Hub, source: HubSource, revision: str | None) -> SourceError:
    """The hub's refusal in words, with what a person can do about it."""
    page = f"{hub.endpoint}/{source.repo}"
    code = answer.header("X-Error-Code")
    if code == "GatedRepo":
        return SourceError(
            f"{source}: the authors of {source.repo} want to be asked first",
            hint=f"ask for access at {page}, then set HF_TOKEN or run `hf auth login`",
        )
    if code == "EntryNotFound":
        return SourceError(
            f"{source}: there is no such file in {source.repo}" + (f" at {revision}" if revision else ""),
            hint=f"see {page}/tree/{revision or 'main'} for the names of its files",
        )
    if code == "RevisionNotFound":
        return SourceError(
            f"{source}: {source.repo} has no commit {revision or 'main'}",
            hint=f"see {page}/commits/main, or remove `revision` and run `modelctl pull` to take the newest",
        )
    if answer.status in {401, 403, 404}:
        known = "your token may not see it" if hub.token else "it is private"
        return SourceError(
            f"{source}: {source.repo} does not exist, or {known}",
            hint=f"check the name at {page}; for a private one set HF_TOKEN or run `hf auth login`",
        )
    return SourceError(f"{source}: {hub.host} answered {answer.status}", hint=f"see {page} in a browser")


def _is_true(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in _TRUE


def _url(hub: Hub, source: HubSource, revision: str) -> str:
    return f"{hub.endpoint}/{source.repo}/resolve/{quote(revision, safe='')}/{quote(source.path)}"
