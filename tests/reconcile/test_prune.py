"""What the guards before a removal say, and what it takes to pass them."""

import pytest

from reconciler.core.types import UnitName
from reconciler.reconcile.prune import guard
from reconciler.spec.load import load
from reconciler.spec.model import Spec

UNITS = [UnitName(f"llama@m{number}-cpu") for number in range(8)]
EMPTY = load({"spec.yaml": "profiles: {cpu: {gpus: []}}\nmodels: []\n"})
ONE = load(
    {
        "spec.yaml": """\
profiles: {cpu: {gpus: []}}
models:
  - id: a
    current_version: v1
    versions: [{version_id: v1, gguf_url: hf://org/repo/a.gguf}]
    profiles: {cpu: {port: 8601}}
"""
    }
)


def test_a_spec_without_models_is_taken_for_a_mistake_and_the_way_is_named() -> None:
    refusal = guard(UNITS[:2], 2, EMPTY, None)
    assert refusal is not None
    assert refusal.guard
    assert refusal.reason == (
        "llama@m0-cpu, llama@m1-cpu are not removed:"
        " the spec has no models at all, which is more likely a mistake than a wish"
    )
    assert refusal.hint is not None
    assert "`modelctl apply --prune --prune-limit 2`" in refusal.hint


@pytest.mark.parametrize(("limit", "refused"), [(None, True), (1, True), (2, False), (100, True)])
def test_everything_goes_only_for_who_says_how_much_that_is(limit: int | None, *, refused: bool) -> None:
    assert (guard(UNITS[:2], 2, EMPTY, limit) is not None) is refused


@pytest.mark.parametrize(
    ("count", "owned", "limit", "refused"),
    [(3, 3, None, False), (4, 8, None, True), (4, 14, None, False), (8, 8, 8, False), (8, 8, 7, True)],
)
def test_more_than_a_few_go_only_within_a_limit(
    count: int, owned: int, limit: int | None, *, refused: bool
) -> None:
    assert (guard(UNITS[:count], owned, ONE, limit) is not None) is refused


def test_the_refusal_says_what_stays_why_and_the_command() -> None:
    refusal = guard(UNITS, 8, ONE, None)
    assert refusal is not None
    assert refusal.reason == (
        "llama@m0-cpu, llama@m1-cpu, llama@m2-cpu, llama@m3-cpu, llama@m4-cpu and 3 more are not removed:"
        " that is 8 of 8 units, more than the 3 that may go unasked"
    )
    assert refusal.hint == "`modelctl apply --prune --prune-limit 8` if that is meant"


@pytest.mark.parametrize("spec", [EMPTY, ONE])
def test_nothing_to_remove_is_nothing_to_refuse(spec: Spec) -> None:
    assert guard([], 5, spec, None) is None
