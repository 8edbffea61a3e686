"""The deciding half of the one flow: read the spec, open the site, make the plan."""

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.errors import Location, ModelctlError, SpecError, SpecErrors
from reconciler.core.plan import Plan, Revision
from reconciler.host import git
from reconciler.host.spec_files import read_spec_folder
from reconciler.host.state import State
from reconciler.reconcile.artifacts import plan_site_artifacts
from reconciler.reconcile.desired import Facts, compile_spec
from reconciler.reconcile.moved import require_same_supervisor
from reconciler.reconcile.observe import observe
from reconciler.reconcile.placement import place
from reconciler.reconcile.plan import Request, make_plan
from reconciler.reconcile.profile import active_profile
from reconciler.reconcile.settings_alone import settings_alone
from reconciler.reconcile.site import Site, open_site
from reconciler.reconcile.usage import room
from reconciler.spec.load import load
from reconciler.spec.model import Spec
from reconciler.spec.settings import Settings

_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
"""What Git writes above the first of two changes that exclude each other; never YAML."""


@dataclass(frozen=True, slots=True)
class Source:
    """A spec as read: its texts, where they came from, and what they say."""

    folder: Path
    texts: Mapping[str, str]
    revision: Revision
    spec: Spec


def read_source(folder: Path, reference: str | None = None) -> Source:
    """Read and check the spec of the work tree, or of a commit. SpecError says what is wrong with it."""
    revision, texts = _texts(folder, reference)
    return from_texts(folder, texts, revision)


def read_again(source: Source, reference: str | None = None) -> Source:
    """As `read_source`, now; `source` itself where nothing is new, which costs no parsing."""
    revision, texts = _texts(source.folder, reference)
    if (revision, texts) == (source.revision, source.texts):
        return source
    return from_texts(source.folder, texts, revision)


def _texts(folder: Path, reference: str | None) -> tuple[Revision, Mapping[str, str]]:
    if reference is not None:
        return git.texts_at(folder, reference)
    return git.revision(folder), read_spec_folder(folder)


def from_texts(folder: Path, texts: Mapping[str, str], revision: Revision) -> Source:
    """A source whose texts were read before: those of a saved plan, or of a commit."""
    return Source(folder, texts, revision, _load(texts))


def read_spec(folder: Path) -> Spec:
    """Only what the work tree says, for commands that need no revision."""
    return _load(read_spec_folder(folder))


def _load(texts: Mapping[str, str]) -> Spec:
    try:
        return load(texts)
    except SpecError as error:
        for file, text in texts.items():
            mark = _CONFLICT.search(text)
            if mark is not None:
                raise SpecError(
                    "Git could not join two changes of this file, and its marks are still there",
                    where=Location(file, text.count("\n", 0, mark.start()) + 1),
                    hint="choose one of the two, and finish what is under way: `git status` says how",
                ) from error
        raise


def open_source(source: Source) -> Site:
    """The site that the spec means; where edits leave no model, as an editor may, the last commit counts."""
    emptied = source.revision.dirty and not source.spec.models
    settings = _committed_settings(source.folder) if emptied else None
    return open_site(settings or source.spec.settings, source.folder)


def open_folder(folder: Path) -> Site:
    """The site of a spec folder, for commands that look and do without the rest of the spec.

    Of a spec that does not load, its settings alone count, else those of the last commit; those also where
    the files have no model, as while an editor writes them. SpecError where none of it says which store is
    meant, and `$MODELCTL_STORE` does not: nobody must be shown another one.
    """
    try:
        spec = read_spec(folder)
        settings = None if spec.models else _committed_settings(folder)
        return open_site(settings or spec.settings, folder)
    except SpecError as error:
        settings = _settings_of_broken(folder)
        if settings is None and not os.environ.get("MODELCTL_STORE"):
            fault = error.faults[0] if isinstance(error, SpecErrors) else error
            raise SpecError(
                f"{fault.what}; so it cannot be told which store is meant",
                where=fault.where,
                hint="name the spec's folder with --spec, or the store with MODELCTL_STORE",
            ) from error
        return open_site(settings or Settings(), folder)


def open_any_folder(folder: Path) -> Site:
    """As `open_folder`; before there is a spec at all, the site that one without settings would have."""
    if not folder.is_dir() or not any(folder.glob("*.y*ml")):
        return open_site(Settings(), folder)
    return open_folder(folder)


def _settings_of_broken(folder: Path) -> Settings | None:
    with suppress(SpecError):
        found = settings_alone(read_spec_folder(folder))
        if found is not None:
            return found
    return _committed_settings(folder)


def _committed_settings(folder: Path) -> Settings | None:
    with suppress(ModelctlError):  # not in Git, or no commit that has the folder
        return settings_alone(git.texts_at(folder, "HEAD")[1])
    return None


def plan(source: Source, site: Site, state: State, request: Request) -> Plan:
    """Look at the machine and decide; changes nothing.

    SupervisorError where the units run under another supervisor than the one that the spec names.
    """
    require_same_supervisor(site)
    desired = compile_spec(source.spec, source.revision, facts(source.spec, site, state))
    artifacts = plan_site_artifacts(site, desired, request)
    return make_plan(desired, artifacts, observe(site, state, desired), request)


def facts(spec: Spec, site: Site, state: State) -> Facts:
    """What compiling a spec needs to know of this machine."""
    active = active_profile(spec, site, state)
    return Facts(
        places=site.places,
        engine=site.engine,
        journal=site.supervisor.journal,
        active=active,
        placements=place(spec, site, state, active),
        user=site.user,
        room=room(spec, active, site, state),
        gateway=(sys.executable, "-m", "reconciler.gateway"),
        package=str(Path(__file__).parents[2]),
    )
