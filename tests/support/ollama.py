"""An Ollama store made of tiny models, as Ollama itself lays it out."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KIND = "application/vnd.ollama.image."


@dataclass(frozen=True)
class FakeOllama:
    """The folder that OLLAMA_MODELS names."""

    root: Path

    def blob(self, content: bytes) -> dict[str, Any]:
        """Keep a layer; returns what a manifest says of it."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.blob_path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"digest": f"sha256:{sha256}", "size": len(content)}

    def blob_path(self, sha256: str) -> Path:
        return self.root / "blobs" / f"sha256-{sha256}"

    def manifest_path(self, name: str, tag: str = "latest") -> Path:
        parts = name.split("/")
        above = ["registry.ollama.ai", "library"][: 3 - len(parts)] if len(parts) < 3 else []
        return self.root.joinpath("manifests", *above, *parts, tag)

    def add(
        self, name: str, *layers: tuple[str, bytes], tag: str = "latest", modified: float | None = None
    ) -> Path:
        """A model with its layers by kind: `model`, `system`, `params`, …; returns its manifest."""
        entries = [{"mediaType": f"{_KIND}{kind}", **self.blob(content)} for kind, content in layers]
        return self.add_manifest(name, entries, tag=tag, modified=modified)

    def add_manifest(
        self, name: str, layers: list[dict[str, Any]], *, tag: str = "latest", modified: float | None = None
    ) -> Path:
        path = self.manifest_path(name, tag)
        path.parent.mkdir(parents=True, exist_ok=True)
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", **self.blob(b"{}")}
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": config,
            "layers": layers,
        }
        path.write_text(json.dumps(document))
        if modified is not None:
            os.utime(path, (modified, modified))
        return path
