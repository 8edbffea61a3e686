"""A local Ollama store, read only. Nothing in it is trusted: another user's service writes to it.

Every path below the store is opened part by part without following links, and only plain files that belong to
us, to root or to Ollama's own user are read. https://github.com/ollama/ollama, `docs/faq.md`, says where
stores are.
"""

import hashlib
import os
import pwd
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.errors import FormatError, ModelctlError, SourceError
from reconciler.core.ollama import (
    OllamaFile,
    OllamaModel,
    OllamaName,
    parse_manifest,
    parse_messages,
    parse_name,
    parse_parameters,
)
from reconciler.core.types import Sha256

_LONGEST_TEXT = 1024**2
"""Bytes of a manifest, or of a layer that is text."""
_MOST_MANIFESTS = 10_000
_LEVELS = 4
"""Host, namespace, model and tag."""
_MAGIC = b"GGUF"
_NO_ENTRY = "it is not there; was its download interrupted?"


@dataclass(frozen=True, slots=True)
class RefusedModel:
    """A manifest that was passed over, by its name or its path below the store."""

    name: str
    why: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class OllamaBlob:
    """A GGUF of an Ollama store."""

    path: Path
    sha256: Sha256


def default_stores(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where Ollama keeps its models: `$OLLAMA_MODELS` alone, else the user's folder and the service's."""
    chosen = environment.get("OLLAMA_MODELS")
    if chosen:
        return (Path(chosen).expanduser().absolute(),)
    home = environment.get("HOME")
    stores = [Path(home) / ".ollama" / "models"] if home else []
    if sys.platform == "linux":
        stores.append(Path("/usr/share/ollama/.ollama/models"))
    return tuple(stores)


def read_store(root: Path) -> tuple[tuple[OllamaModel, ...], tuple[RefusedModel, ...]]:
    """Every model whose files are whole, by name, and what was refused with its reason.

    Sizes and the first bytes of GGUF files are looked at; their hashes are not reckoned here. SourceError
    where there is no store.
    """
    models: list[OllamaModel] = []
    refused: list[RefusedModel] = []
    with _open_root(root) as store:
        for number, parts in enumerate(_manifests(store, (), refused)):
            if number == _MOST_MANIFESTS:
                raise SourceError(f"{root} has more than {_MOST_MANIFESTS} manifests")
            shown = "/".join(parts)
            try:
                name = OllamaName(*parts)
                if parse_name(str(name)) != name:
                    raise FormatError("its path is no name of a model")
                shown = str(name)
                models.append(_read_model(store, name))
            except ModelctlError as error:
                refused.append(RefusedModel(shown, error.what, error.hint))
    return tuple(sorted(models, key=lambda model: model.name)), tuple(refused)


def find_blob(stores: Sequence[Path], name: OllamaName, fragment: str, expected: Sha256 | None) -> OllamaBlob:
    """The file that `ollama://name#fragment` names. SourceError where no store has it.

    With `expected` it is that very blob, also when the tag has moved on since.
    """
    shown = f"ollama://{name}" + (f"#{fragment}" if fragment else "")
    reasons: list[str] = []
    for root in stores:
        try:
            with _open_root(root) as store:
                sha256 = expected or _resolve(store, name, fragment).sha256
                _check_blob(store, sha256, None)
                return OllamaBlob(root / "blobs" / f"sha256-{sha256}", sha256)
        except ModelctlError as error:
            reasons.append(f"{root}: {error.what}")
    raise SourceError(
        f"{shown} cannot be adopted: {'; '.join(reasons) or 'there is no Ollama store'}",
        hint="set OLLAMA_MODELS to the store's folder, or `ollama pull` it again",
    )


def _resolve(store: int, name: OllamaName, fragment: str) -> OllamaFile:
    content, _ = _read(store, ("manifests", *name))
    files = parse_manifest(content).files()
    if fragment not in files:
        raise FormatError(f"{name} has no layer `{fragment}`")
    return files[fragment]


def _read_model(store: int, name: OllamaName) -> OllamaModel:
    content, modified = _read(store, ("manifests", *name))
    manifest = parse_manifest(content)
    for file in manifest.files().values():
        _check_blob(store, file.sha256, file.size)
    texts = {kind: _text(store, file) for kind, file in manifest.texts.items()}
    return OllamaModel(
        name=name,
        modified=modified,
        manifest=manifest,
        system=_decoded(texts.get("system")),
        template=_decoded(texts.get("template")),
        parameters=parse_parameters(texts["params"]) if "params" in texts else {},
        messages=parse_messages(texts["messages"]) if "messages" in texts else (),
    )


def _manifests(store: int, parts: tuple[str, ...], refused: list[RefusedModel]) -> Iterator[tuple[str, ...]]:
    """The paths of all manifests, sorted; links and what lies at another depth are refused."""
    shown = "/".join(("manifests", *parts))
    try:
        with _opened(store, ("manifests", *parts), os.O_DIRECTORY) as folder, os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_symlink(), entry.is_dir()) for entry in entries)
    except ModelctlError as error:
        refused.append(RefusedModel(shown, error.what, error.hint))
        return
    for name, is_link, is_folder in found:
        if name.startswith("."):
            continue
        if is_link:
            refused.append(
                RefusedModel(f"{shown}/{name}", "it is a symbolic link", "put the file itself there")
            )
        elif is_folder != (len(parts) < _LEVELS - 1):
            refused.append(RefusedModel(f"{shown}/{name}", "manifests do not lie there"))
        elif is_folder:
            yield from _manifests(store, (*parts, name), refused)
        else:
            yield (*parts, name)


def _check_blob(store: int, sha256: Sha256, size: int | None) -> None:
    """FormatError unless it is a GGUF of the promised size. Only its hash says more."""
    with _opened(store, ("blobs", f"sha256-{sha256}")) as blob:
        found = _plain_file(blob)
        if size is not None and found.st_size != size:
            raise FormatError(
                f"its file has {found.st_size} bytes instead of {size}",
                hint="pull the model again with Ollama",
            )
        if os.pread(blob, len(_MAGIC), 0) != _MAGIC:
            raise FormatError("its file is no GGUF", hint="name a GGUF of the same model by hf:// instead")


def _text(store: int, file: OllamaFile) -> bytes:
    content, _ = _read(store, ("blobs", f"sha256-{file.sha256}"))
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise FormatError(
            f"its layer sha256:{file.sha256[:12]}… is damaged", hint="pull the model again with Ollama"
        )
    return content


def _decoded(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError as error:
        raise FormatError("a text of it is not UTF-8") from error


def _read(store: int, parts: tuple[str, ...]) -> tuple[bytes, float]:
    """The content of a small file and when it was last written."""
    with _opened(store, parts) as descriptor:
        status = _plain_file(descriptor)
        if status.st_size > _LONGEST_TEXT:
            raise FormatError(f"{parts[-1]} is larger than {_LONGEST_TEXT // 1024**2} MiB")
        return os.pread(descriptor, _LONGEST_TEXT, 0), status.st_mtime


@contextmanager
def _open_root(root: Path) -> Iterator[int]:
    """The store's folder itself may be a link: whoever named it chose that."""
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(
            f"there is no Ollama store at {root}: {error.strerror}",
            hint="name its folder with --store or OLLAMA_MODELS",
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(store: int, parts: tuple[str, ...], kind: int = 0) -> Iterator[int]:
    """A file or folder below the store, each part of the path opened without following a link."""
    descriptors: list[int] = []
    try:
        for depth, part in enumerate(parts, start=1):
            flags = kind if depth == len(parts) else os.O_DIRECTORY
            above = descriptors[-1] if descriptors else store
            descriptors.append(_open_part(above, part, flags))
        yield descriptors[-1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _open_part(above: int, part: str, flags: int) -> int:
    common = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(part, common | flags, dir_fd=above)
    except FileNotFoundError:
        raise FormatError(f"{part}: {_NO_ENTRY}", hint="pull the model again with Ollama") from None
    except OSError as error:
        try:
            is_link = stat.S_ISLNK(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode)
        except OSError:
            is_link = False
        if is_link:
            raise FormatError(f"{part} is a symbolic link", hint="put the file itself there") from error
        raise FormatError(
            f"{part} cannot be read: {error.strerror}", hint="run as the store's owner"
        ) from error
    owner = os.fstat(descriptor).st_uid
    if owner not in _trusted_owners():
        os.close(descriptor)
        raise FormatError(
            f"{part} belongs to user {owner}, who is neither you nor root nor ollama",
            hint="only their owner can vouch for these files: `chown` them if that is you",
        )
    return descriptor


def _trusted_owners() -> set[int]:
    owners = {0, os.geteuid()}
    with suppress(KeyError):
        owners.add(pwd.getpwnam("ollama").pw_uid)
    return owners


def _plain_file(descriptor: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FormatError("its file is not a plain one")
    return status
