"""Files that differ in comments and marks alone are the same to a supervisor; no others are."""

import json

import pytest

from reconciler.core.types import Bytes
from reconciler.core.units import GpuAccess, SupervisorKind
from reconciler.host.templates import unit_template
from reconciler.kinds.unit.executed import executed
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.render import render
from tests.support.units import a_definition, rendered

NOTES = {
    SupervisorKind.SYSTEMD: ("# a note\n", "; a note\n", "\n\n", "X-Note=later\n"),
    SupervisorKind.SYSTEMD_USER: ("# a note\n",),
    SupervisorKind.SUPERVISORD: ("; a note\n", "# a note\n", "\n"),
    SupervisorKind.LAUNCHD: ("\n<!-- a note -->\n",),
}
every = pytest.mark.parametrize("kind", list(SupervisorKind))


@every
def test_another_generation_and_another_owner_are_the_same(kind: SupervisorKind) -> None:
    marks = (Ownership("box-1", 7, "1:aa"), Ownership("box-2", 8, "1:bb"))
    one, other = (render(a_definition(), mark, kind, unit_template(kind)).text for mark in marks)
    assert one != other
    assert executed(one, kind) == executed(other, kind)


@pytest.mark.parametrize(("kind", "note"), [(kind, note) for kind, notes in NOTES.items() for note in notes])
def test_a_comment_is_the_same(kind: SupervisorKind, note: str) -> None:
    text = rendered(kind)
    assert executed(text + note, kind) == executed(text, kind)


def test_what_pm2_does_not_read_is_the_same() -> None:
    kind = SupervisorKind.PM2
    document = json.loads(rendered(kind))
    document["modelctl"]["note"] = "a note"
    assert executed(json.dumps(document), kind) == executed(rendered(kind), kind)


@every
@pytest.mark.parametrize(
    "change",
    [
        {"argv": ("/usr/bin/llama-server", "--port", "8602")},
        {"environment": (("CUDA_VISIBLE_DEVICES", "GPU-2"),)},
        {"stop_timeout_seconds": 11},
        {"working_directory": "/srv"},
        {"log_path": None},
    ],
)
def test_what_a_unit_does_is_not_the_same(kind: SupervisorKind, change: dict[str, object]) -> None:
    assert executed(rendered(kind, **change), kind) != executed(rendered(kind), kind)


@pytest.mark.parametrize(
    "change",
    [{"memory_limit": Bytes(1)}, {"gpu": GpuAccess.NONE}, {"loopback": False}, {"user": "somebody"}],
)
def test_what_systemd_lets_it_do_is_not_the_same(change: dict[str, object]) -> None:
    kind = SupervisorKind.SYSTEMD
    assert executed(rendered(kind, **change), kind) != executed(rendered(kind), kind)


@every
def test_every_line_counts(kind: SupervisorKind) -> None:
    """But for those that are comments, marks, or what stands around them."""
    text = rendered(kind)
    lines = text.splitlines()
    silent = [
        line
        for number, line in enumerate(lines)
        if executed("\n".join(lines[:number] + lines[number + 1 :]), kind) == executed(text, kind)
    ]
    told = ("#", ";", "X-Modelctl", "[X-Modelctl", "<!--", "<?xml", "<!DOCTYPE", '"note"', '"owner"')
    marks = (*told, '"generation"')
    assert [line for line in silent if line.strip() and not line.strip().startswith(marks)] == []


@every
def test_what_cannot_be_read_is_the_same_as_itself_alone(kind: SupervisorKind) -> None:
    text = rendered(kind)
    broken = f"!\n{text}"
    assert executed(broken, kind) == executed(broken, kind)
    assert executed(broken, kind) != executed(text, kind)


def test_a_line_that_goes_on_in_the_next_is_not_taken_apart() -> None:
    kind = SupervisorKind.SYSTEMD
    text = rendered(kind)
    longer = text.replace("[Service]", "[Service]\n# no \\\nExecStartPre=/bin/true")
    assert executed(longer, kind) != executed(text, kind)
