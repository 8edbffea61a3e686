"""Reading sources: what is meant, or a sentence about what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.sources import FileSource, HubSource, Source, WebSource, parse_source


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("hf://Qwen/Qwen2.5-GGUF/a.gguf", HubSource("Qwen/Qwen2.5-GGUF", "a.gguf")),
        (
            "hf://org/repo/Q4_K_M/a b-00001-of-00002.gguf",
            HubSource("org/repo", "Q4_K_M/a b-00001-of-00002.gguf"),
        ),
        ("https://host/a.gguf?x=1", WebSource("https://host/a.gguf?x=1")),
        ("http://nas.local:8080/a.gguf", WebSource("http://nas.local:8080/a.gguf")),
        ("file:///models/a.gguf", FileSource(Path("/models/a.gguf"))),
        ("file:///models/a%20b.gguf", FileSource(Path("/models/a b.gguf"))),
        ("file://localhost/models/a.gguf", FileSource(Path("/models/a.gguf"))),
    ],
)
def test_a_source_is_read_as_it_is_meant(url: str, source: Source) -> None:
    assert parse_source(url) == source


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("hf://org/file.gguf", "does not name a file"),
        ("hf://org/repo/", "no plain path"),
        ("hf://../repo/file.gguf", "does not name a file"),
        ("hf://org/repo/../../etc/passwd", "no plain path"),
        ("hf://org/repo/a//b.gguf", "no plain path"),
        ("hf://org/repo/a.gguf?download=true", "no plain path"),
        ("hf://org/repo/a\\b.gguf", "no plain path"),
        ("https://", "names no host"),
        ("https://host:port/a.gguf", "no web address"),
        ("https://[::1/a.gguf", "no web address"),
        ("https://user:secret@host/a.gguf", "user name or password"),
        ("file://models/a.gguf", "not absolute"),
        ("file://", "not absolute"),
        ("ollama://../../etc/passwd", "no name of an Ollama model"),
        ("ftp://host/a.gguf", "is no source"),
        ("/models/a.gguf", "is no source"),
        ("https://host/a\nb", "control characters"),
    ],
)
def test_what_is_no_source_is_refused_with_a_hint(url: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        parse_source(url)
    assert caught.value.hint
    assert "secret" not in caught.value.what


@given(st.text())
def test_any_text_is_a_source_or_a_source_error(text: str) -> None:
    for scheme in ("", "hf://", "hf://a/b/", "https://", "file://", "file:///"):
        try:
            parse_source(scheme + text)
        except SourceError as error:
            assert "\n" not in error.what  # noqa: PT017 - any text may or may not be a source
