"""Options and steps that `plan`, `diff` and `apply` share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reconciler.reconcile.plan import Request
    from reconciler.spec.model import Spec

_OPTIONS = (
    click.option("--ref", metavar="REV", help="Take the spec from this commit instead of the work tree."),
    click.option("--prune", is_flag=True, help="Also remove what is ours and no longer in the spec."),
    click.option(
        "--prune-limit", type=click.IntRange(min=0), metavar="N", help="Let --prune remove up to N units."
    ),
    click.option("--only", multiple=True, metavar="MODEL", help="Touch only this model; may be repeated."),
)


def planning_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that shape a plan."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def make_request(spec: "Spec", *, prune: bool, prune_limit: int | None, only: Sequence[str]) -> "Request":
    """UsageError when `--only` names no model of the spec."""
    from reconciler.reconcile.plan import Request  # noqa: PLC0415
    from reconciler.spec.find import find_model  # noqa: PLC0415

    models = frozenset(find_model(spec, name).model_id for name in only)
    return Request(prune=prune or prune_limit is not None, prune_limit=prune_limit, only=models)
