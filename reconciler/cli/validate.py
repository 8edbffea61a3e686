"""`modelctl validate`: is the spec sound?"""

from pathlib import Path

from reconciler.cli.context import Context, declare


@declare("validate", short_help="Check the spec without looking at the machine.")
def command(context: Context) -> None:
    """Check the spec: its YAML, every value, and what the values say together.

    Every fault is shown with its file, line and column.
    """
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415 - start-up time
    from reconciler.spec.load import load  # noqa: PLC0415

    texts = read_spec_folder(Path(context.spec))
    spec = load(texts)
    counts = {
        "files": len(texts),
        "profiles": len(spec.profiles),
        "models": len(spec.models),
        "personas": len(spec.personas),
        "pins": len(spec.pins),
    }
    unresolved = [
        f"{model.id}@{version.version_id}"
        for model in spec.models
        for version in model.versions
        if not version.hashes
    ]

    def text() -> str:
        return "the spec is sound: " + ", ".join(_count(number, noun) for noun, number in counts.items())

    context.output.document({"valid": True, **counts, "unresolved": unresolved}, text)
    if unresolved:
        versions = _count(len(unresolved), "versions")
        context.output.note(f"{versions} without sha256: `modelctl pull` fills in what is missing")


def _count(number: int, nouns: str) -> str:
    return f"{number} {nouns.removesuffix('s') if number == 1 else nouns}"
