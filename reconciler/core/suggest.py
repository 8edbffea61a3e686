"""The word that somebody probably meant."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to `word`, case and `-` or `_` aside; None when nothing is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake pays for it

    by_form: dict[str, str] = {}
    for candidate in known:
        by_form.setdefault(_form(candidate), candidate)
    found = get_close_matches(_form(word), by_form, n=1, cutoff=0.6)
    return by_form[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint in words, or None when nothing is near."""
    found = nearest(word, known)
    return None if found is None else f"did you mean `{found}`?"


def _form(word: str) -> str:
    return word.lower().replace("-", "_")
