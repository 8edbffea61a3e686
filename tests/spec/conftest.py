"""What the tests of the spec share: a model in YAML, and loading as a list of faults."""

from collections.abc import Callable, Mapping

import pytest

from reconciler.core.errors import SpecError, SpecErrors
from reconciler.spec.load import load

Faults = Callable[[str | Mapping[str, str]], list[tuple[str, str, str | None]]]

MODEL = """\
models:
  - id: {id}
    current_version: v1
    versions:
      - version_id: v1
        gguf_url: hf://org/repo/{id}.gguf
    profiles: {{cpu_only: {{}}}}
"""


@pytest.fixture
def model() -> Callable[[str], str]:
    """A file with one valid model of the given id."""
    return lambda name: MODEL.format(id=name)


@pytest.fixture
def faults() -> Faults:
    """Load one text (`spec.yaml`) or several and give each fault as (place, what, hint); [] when it loads."""

    def collect(texts: str | Mapping[str, str]) -> list[tuple[str, str, str | None]]:
        try:
            load({"spec.yaml": texts} if isinstance(texts, str) else texts)
        except SpecErrors as errors:
            found: tuple[SpecError, ...] = errors.faults
        except SpecError as error:
            found = (error,)
        else:
            found = ()
        return [(str(fault.where), fault.what, fault.hint) for fault in found]

    return collect
