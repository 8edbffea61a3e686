"""What `suspend`, `resume` and `apply` share."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context
from reconciler.core.errors import SpecError, UsageError
from reconciler.core.suggest import did_you_mean
from reconciler.core.suspension import EVERYTHING

if TYPE_CHECKING:
    from reconciler.host.state import State


def named(folder: Path, state: "State", models: Sequence[str], *, everything: bool) -> list[str]:
    """The resources that a person means.

    UsageError for a model that neither the spec nor the machine has. A spec that does not load is no reason
    to refuse: that may be just why somebody wants the watcher to be still.
    """
    from reconciler.reconcile import session  # noqa: PLC0415

    if everything == bool(models):
        raise UsageError("name one or more models, or --all", hint="`modelctl list` shows the models")
    if everything:
        return [EVERYTHING]
    known = {str(unit.model) for unit in state.units().values()}
    try:
        known |= {model.id for model in session.read_spec(folder).models}
    except SpecError:
        known |= set(models)
    for model in models:
        if model not in known:
            raise UsageError(
                f"there is no model `{model}`", hint=did_you_mean(model, known) or "`modelctl list`"
            )
    return list(dict.fromkeys(models))


def say_suspended(context: Context, state: "State") -> None:
    """A person's apply goes on although something is suspended; it is said, for it may be forgotten."""
    from reconciler.core.suspension import in_force  # noqa: PLC0415
    from reconciler.host.records import Records  # noqa: PLC0415

    for one in in_force(Records(state).suspensions(), time.time()).values():
        what = "everything" if one.resource == EVERYTHING else one.resource
        context.output.note(f"note: {what} is suspended for the watcher, and applied by hand: {one.reason}")
