"""Which flags the spec may not give by itself, and what to say of one that a build does not know."""

from typing import NoReturn

from reconciler.core.engine import Engine
from reconciler.core.errors import EngineError
from reconciler.core.suggest import nearest

_OWNED = {
    "model": "the version's artifact is served",
    "alias": "the model's id and its personas are its names",
    "host": "set the profile's `port`",
    "port": "set the profile's `port`",
    "ctx-size": "set `context_tokens`",
    "parallel": "set `parallel`",
    "mmproj": "set the version's `mmproj`",
    "lora": "set the version's `loras`",
    "lora-scaled": "set the version's `loras`",
    "model-draft": "set the version's `draft`",
    "embedding": "set `embedding`",
    "metrics": "it is always on",
    "api-key": "keys in an argv can be read by everybody on the machine",
    "api-key-file": "modelctl hands the keys over",
    "slot-save-path": "modelctl keeps the slots",
}
"""Flags that a setting of the spec stands for, and what to do instead."""

_DOWNLOADS = ("model-url", "docker-repo", "hf-repo", "hf-file", "hf-repo-draft", "mmproj-url")
_ROUTER = ("models-dir", "models-preset", "models-max", "models-autoload", "no-models-autoload")
_INSTEAD = {
    **_OWNED,
    **dict.fromkeys(
        _DOWNLOADS, "name the file as the version's `gguf_url`, so that it is pinned and verified"
    ),
    **dict.fromkeys(_ROUTER, "modelctl does what llama-server's router mode does"),
}

_SAME = {
    "m": "model",
    "a": "alias",
    "c": "ctx-size",
    "np": "parallel",
    "mm": "mmproj",
    "md": "model-draft",
    "spec-draft-model": "model-draft",
    "embeddings": "embedding",
    "mu": "model-url",
    "dr": "docker-repo",
    "hf": "hf-repo",
    "hfr": "hf-repo",
    "hff": "hf-file",
    "hfd": "hf-repo-draft",
    "hfrd": "hf-repo-draft",
    "spec-draft-hf": "hf-repo-draft",
    "mmu": "mmproj-url",
}


def refuse_owned(name: str) -> None:
    """Raise EngineError when the flag `name`, in any spelling, is not the spec's to give."""
    bare = name.lstrip("-").replace("_", "-")
    instead = _INSTEAD.get(_SAME.get(bare, bare))
    if instead:
        raise EngineError(f"the flag `{name}` is not for the spec's `flags`: {instead}", hint="remove it")


_RENAMED = {
    "mmap": "load-mode: mmap",
    "no-mmap": "load-mode: none",
    "mlock": "load-mode: mlock",
    "direct-io": "load-mode: dio",
    "dio": "load-mode: dio",
    "draft": "spec-draft-n-max",
    "draft-n": "spec-draft-n-max",
    "draft-max": "spec-draft-n-max",
    "draft-min": "spec-draft-n-min",
    "draft-n-min": "spec-draft-n-min",
}
"""Flags that llama.cpp dropped without a word in its help, and what took their place."""


def unknown(name: str, engine: Engine) -> NoReturn:
    """Raise for a flag that this build does not have, with the best advice there is."""
    what = f"{engine.label} does not know the flag {name}"
    replacement = _RENAMED.get(name.lstrip("-"), "")
    if f"--{replacement.partition(':')[0]}" in engine.flags:
        raise EngineError(what, hint=f"it was replaced, write `{replacement}`")
    if name in engine.removed:
        raise EngineError(what, hint=f"it says: {engine.removed[name]}")
    near = nearest(name.lstrip("-"), {known.lstrip("-") for known in engine.flags if known.startswith("--")})
    hint = f"did you mean `{near}`?" if near else f"see {' '.join(engine.command)} --help"
    raise EngineError(what, hint=hint)
