"""The docstrings below the fields of the spec's types: their descriptions in the schema and the reference.

pydantic can read them too, but does so whenever the types are imported, which costs every command 25 ms.
"""

import ast
import inspect
import itertools
import textwrap

from reconciler.spec.fields import Closed


def descriptions(model: type[Closed]) -> dict[str, str]:
    """Field → the text below it, of the type and of those that it is built on."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, Closed) and part is not Closed:
            found |= _of_class(part)
    return found


def types_below(model: type[Closed] = Closed) -> dict[str, type[Closed]]:
    """Every type of the spec by its name."""
    found = {model.__name__: model}
    for part in model.__subclasses__():
        found |= types_below(part)
    return found


def _of_class(part: type[Closed]) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(part))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    found = {}
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = inspect.cleandoc(text.value.value)
    return found
