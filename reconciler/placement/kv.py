"""How many bytes each layer keeps of the past: keys, values, recurrent state."""

from reconciler.core.errors import SpecError
from reconciler.core.types import Bytes
from reconciler.placement.architecture import Architecture, Cache
from reconciler.placement.settings import Settings

_STATE_ELEMENT = 4
"""Recurrent state is always f32."""


def cache_bytes(architecture: Architecture, settings: Settings) -> tuple[Bytes, ...]:
    """Bytes per layer, as llama-kv-cache.cpp and llama-memory-recurrent.cpp allocate them.

    SpecError when llama.cpp would refuse the cache types for this model.
    """
    problem = cache_problem(architecture, settings)
    if problem is not None:
        raise SpecError(problem, hint="take f16 for this model's cache types")
    return tuple(_layer_bytes(architecture, settings, number) for number in range(len(architecture.layers)))


def cache_problem(architecture: Architecture, settings: Settings) -> str | None:
    """Why these cache types cannot be used for this model; None when they can."""
    if settings.type_v.quantised and not settings.flash_attention:
        return f"a {settings.type_v.name} V cache needs flash attention"
    for layer in architecture.layers:
        if layer.cache is Cache.NONE:
            continue
        for kind, length in ((settings.type_k, layer.key_length), (settings.type_v, layer.value_length)):
            if length % kind.block:
                return (
                    f"cache type {kind.name} takes heads of {kind.block} elements, this model's have {length}"
                )
    return None


def _layer_bytes(architecture: Architecture, settings: Settings, number: int) -> Bytes:
    layer = architecture.layers[number]
    total = 0
    if layer.cache is not Cache.NONE:
        windowed = layer.cache is Cache.WINDOW
        cells = settings.window_cells(architecture.window) if windowed else settings.cells
        row = settings.type_k.row_bytes(layer.key_width)
        if not architecture.latent:
            row = Bytes(row + settings.type_v.row_bytes(_value_width(architecture, settings, number)))
        total += row * cells * settings.streams
    if layer.recurrent and number < architecture.running_layers:
        state = architecture.state
        total += (state.convolution + state.recurrence) * _STATE_ELEMENT * max(1, settings.parallel)
    return Bytes(total)


def _value_width(architecture: Architecture, settings: Settings, number: int) -> int:
    """Without flash attention values lie transposed, in rows as wide as the widest layer's."""
    if settings.flash_attention:
        return architecture.layers[number].value_width
    return max(layer.value_width for layer in architecture.layers)
