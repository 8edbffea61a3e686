"""Docs that follow from the code are as the code is, and links in docs lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

sys.path.insert(0, str(DOCS))
from generate import generated  # noqa: E402 - a script, found only once the path is set


@pytest.mark.parametrize("name", sorted(generated()))
def test_a_generated_document_is_up_to_date(name: str) -> None:
    """Mend it with `make docs`."""
    assert (DOCS / name).read_text(encoding="utf-8") == generated()[name]


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} → {target}"


def test_the_readme_names_every_command() -> None:
    from reconciler.cli import COMMANDS  # noqa: PLC0415

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"`{name}`" not in readme and f"modelctl {name}" not in readme]
    assert not missing


def test_make_help_names_every_target() -> None:
    done = subprocess.run(("make", "help"), cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("run", "test", "quick", "lint", "format", "docs", "bench", "clean"):
        assert re.search(rf"^{target}\b", done.stdout, re.MULTILINE)
