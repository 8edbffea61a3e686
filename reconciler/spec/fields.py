"""The values that a spec is made of: what a single scalar may be, whatever key it stands under."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from reconciler.core.sizes import parse_bytes, parse_seconds
from reconciler.core.types import ID_PATTERN, REVISION_PATTERN, SHA256_PATTERN, Bytes
from reconciler.spec.addresses import check_listen, check_source

SOURCE_PATTERN = r"^(hf|https|http|file|ollama)://."
LINE_PATTERN = r"^[^\x00-\x1f\x7f]+$"
GPU_PATTERN = r"^([0-9]{4,}|[^\x00-\x1f\x7f]*[^0-9\x00-\x1f\x7f][^\x00-\x1f\x7f]*)$"
"""A line of text, but no short number: `1` would be a part of `GTX 1080 Ti`, and is meant as a place."""
FLAG_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
PORTS_PATTERN = r"^[0-9]{1,5}-[0-9]{1,5}$"
SIZE_FORMAT, DURATION_FORMAT = "size", "duration"
"""Of the JSON Schema; names of our own, which draft-07 allows."""
LARGEST_SIZE = 2**63 - 1


def _read_size(value: object) -> Bytes:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a size is written as 20GiB, 512MiB or a number of bytes")  # noqa: TRY004 - pydantic wants it
    try:
        size = parse_bytes(value)
    except OverflowError:
        size = Bytes(LARGEST_SIZE + 1)
    if size > LARGEST_SIZE:
        raise ValueError("that is more than any machine has")
    return size


def _read_seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a duration is written as 30m, 90s, 1h30m or a number of seconds")  # noqa: TRY004 - pydantic wants it
    return parse_seconds(value)


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Line = Annotated[str, StringConstraints(pattern=LINE_PATTERN)]
"""Text without line breaks and other control characters: it may end up in a unit file or an argv."""
GpuName = Annotated[str, StringConstraints(pattern=GPU_PATTERN)]
Hex64 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
Hex40 = Annotated[str, StringConstraints(pattern=REVISION_PATTERN)]
Source = Annotated[
    str, AfterValidator(check_source), WithJsonSchema({"type": "string", "pattern": SOURCE_PATTERN})
]
Listen = Annotated[
    str,
    AfterValidator(check_listen),
    WithJsonSchema(
        {"type": "string", "pattern": ":[0-9]{1,5}$", "examples": ["127.0.0.1:8600", "[::1]:8600"]}
    ),
]
Size = Annotated[
    Bytes,
    BeforeValidator(_read_size),
    Field(ge=0),
    WithJsonSchema({"format": SIZE_FORMAT, "type": ["string", "integer"], "minimum": 0}),
]
Seconds = Annotated[
    float,
    BeforeValidator(_read_seconds),
    Field(gt=0),
    WithJsonSchema({"format": DURATION_FORMAT, "type": ["string", "number"], "exclusiveMinimum": 0}),
]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Percentage = Annotated[int, Field(ge=0, le=100, strict=True)]
FlagName = Annotated[str, StringConstraints(pattern=FLAG_PATTERN)]
FlagValue = bool | int | float | str | tuple[str, ...]
Strategy = Literal["auto", "shares", "fit", "tensor-overrider", "manual"]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
METAL = "metal"
"""How a profile names the GPU of an Apple Silicon machine."""


class Closed(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
