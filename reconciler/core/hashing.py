"""One way to hash a configuration, so that equal things are equal over releases."""

import hashlib
import json
from typing import Any

SCHEME = "1"
"""Raised only when the hash of the same configuration would come out otherwise."""


def config_hash(value: Any) -> str:
    """Hash a JSON-able value by its canonical form; prefixed with the scheme: `1:<16 hex>`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"{SCHEME}:{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
