"""What one block of a model computes, in the widths that decide how much memory it takes.

Widths come from the tensors of the block, so architectures that share their parts need no rule of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.gguf.header import Tensor
from reconciler.placement.architecture import Architecture, Cache

_AFTER = ("post_ffw_norm", "layer_output_norm")


@dataclass(frozen=True, slots=True)
class Experts:
    count: int
    used: int
    width: int
    gated: bool
    fused: bool
    """Gate and up projection are one matrix."""
    biased: bool
    """Selection has a bias of its own."""
    away: tuple[str, ...] = ()
    """Of `parts` those that lie in RAM, and that the CPU computes; the last is among them."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its matrices in the order in which llama.cpp computes them."""
        if self.fused:
            return ("gate_up_exps", "down_exps")
        return ("gate_exps", "up_exps", "down_exps") if self.gated else ("up_exps", "down_exps")


@dataclass(frozen=True, slots=True)
class FeedForward:
    """`width` 0: the block has none."""

    width: int
    gated: bool
    fused: bool
    """Gate and up projection are one matrix."""
    away: tuple[str, ...] = ()
    """Of `parts` those that lie in RAM, and that the CPU computes; the last is among them."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its matrices in the order in which llama.cpp computes them."""
        return ("gate", "up", "down") if self.gated and not self.fused else ("up", "down")


@dataclass(frozen=True, slots=True)
class Attention:
    """Widths in elements per token. `latent` 0: keys and values as usual."""

    query: int
    key: int
    value: int
    output: int
    heads: int
    gated: bool
    normed: bool
    fused: bool
    rotates_keys: bool
    """Quantised keys of this length are rotated before they are kept."""
    rotates_values: bool
    keys_first: bool
    """Keys are computed before values, as models with sliding windows have it."""
    latent: int
    rope: int
    query_rank: int


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`projection` and `channels` per token, `state` elements per sequence."""

    projection: int
    channels: int
    inner: int
    heads: int
    state: int
    convolution: int
    delta: bool
    """A gated delta net rather than a scan."""
    key: int


@dataclass(frozen=True, slots=True)
class Block:
    """What one block computes; equal blocks need equal memory."""

    width: int
    attention: Attention | None
    recurrence: Recurrence | None
    experts: Experts | None
    shared_expert: FeedForward
    feed_forward: FeedForward
    closed: bool
    """Weights of a norm follow its feed-forward."""

    @property
    def open_ended(self) -> bool:
        """After its experts nothing with weights follows, so whoever computes the next block adds them up."""
        return self.experts is not None and not self.shared_expert.width and not self.feed_forward.width

    @property
    def away(self) -> tuple[str, ...]:
        """Its parts that lie in RAM."""
        return self.feed_forward.away if self.experts is None else self.experts.away

    def without(self, parts: tuple[str, ...]) -> "Block":
        """The same with these of its parts in RAM, which are its experts' where it has any."""
        if self.experts is None:
            return replace(self, feed_forward=replace(self.feed_forward, away=parts))
        return replace(self, experts=replace(self.experts, away=parts))

    @property
    def ends_away(self) -> bool:
        """The CPU computes the last of its weights, so whoever computes the next block adds the residual."""
        return bool(self.feed_forward.away) and not self.closed

    @property
    def may_end_away(self) -> bool:
        """So it is where its experts, or without any its feed-forward, lie in RAM."""
        return not self.closed and (self.experts is None or self.open_ended)

    @property
    def begins_early(self) -> bool:
        """Its device is asked for its state before the block before is through."""
        return self.recurrence is not None and not self.recurrence.delta


def describe_block(architecture: Architecture, number: int, tensors: Mapping[str, Tensor]) -> Block:
    """Reduce the tensors of one block, by their names within it, to what its computation needs."""
    layer = architecture.layers[number]
    attention = None
    if "attn_output.weight" in tensors or layer.cache is not Cache.NONE:
        attention = _attention(architecture, number, tensors)
    return Block(
        width=architecture.width,
        attention=attention,
        recurrence=_recurrence(architecture, tensors) if layer.recurrent else None,
        experts=_experts(architecture, tensors),
        shared_expert=_feed_forward(tensors, "_shexp"),
        feed_forward=_feed_forward(tensors, ""),
        closed=any(name.startswith(_AFTER) for name in tensors),
    )


def _rows(tensors: Mapping[str, Tensor], name: str) -> int:
    """Width of what this matrix yields; 0 when there is none."""
    tensor = tensors.get(f"{name}.weight")
    return tensor.dims[1] if tensor is not None and len(tensor.dims) > 1 else 0


def _attention(architecture: Architecture, number: int, tensors: Mapping[str, Tensor]) -> Attention:
    layer = architecture.layers[number]
    rank = architecture.latent_rank if "attn_k_b.weight" in tensors else 0
    output = tensors.get("attn_output.weight")
    query = _rows(tensors, "attn_q") or _rows(tensors, "attn_q_b") or layer.heads * layer.key_length
    values = output.dims[0] if output is not None else layer.heads * layer.value_length
    return Attention(
        query=query,
        key=layer.key_width,
        value=layer.value_width,
        output=values,
        heads=layer.heads,
        gated=not rank and query == 2 * values,
        normed="attn_q_norm.weight" in tensors,
        fused="attn_qkv.weight" in tensors,
        rotates_keys=not rank and layer.key_length % 64 == 0,
        rotates_values=not rank and layer.value_length % 64 == 0,
        keys_first=architecture.window > 0,
        latent=rank,
        rope=layer.key_length - rank if rank else 0,
        query_rank=_rows(tensors, "attn_q_a"),
    )


def _recurrence(architecture: Architecture, tensors: Mapping[str, Tensor]) -> Recurrence:
    state = architecture.state
    projection = _rows(tensors, "ssm_in") or _rows(tensors, "attn_qkv") or _rows(tensors, "shortconv.in_proj")
    inner = state.inner or architecture.width
    return Recurrence(
        projection=projection or 4 * architecture.width,
        channels=state.channels or inner,
        inner=inner,
        heads=state.time_step_rank or 1,
        state=state.recurrence,
        convolution=state.convolution,
        delta="ssm_ba.weight" in tensors or "ssm_beta.weight" in tensors,
        key=max(0, state.channels - inner) // 2,
    )


def _experts(architecture: Architecture, tensors: Mapping[str, Tensor]) -> Experts | None:
    down = tensors.get("ffn_down_exps.weight")
    if down is None:
        return None
    fused = "ffn_gate_up_exps.weight" in tensors
    return Experts(
        count=architecture.experts,
        used=max(1, architecture.experts_used),
        width=down.dims[0],
        gated=fused or "ffn_gate_exps.weight" in tensors,
        fused=fused,
        biased="exp_probs_b.bias" in tensors,
    )


def _feed_forward(tensors: Mapping[str, Tensor], suffix: str) -> FeedForward:
    down = tensors.get(f"ffn_down{suffix}.weight")
    if down is None:
        return FeedForward(0, gated=False, fused=False)
    width = down.dims[0]
    fused = _rows(tensors, f"ffn_up{suffix}") == 2 * width
    return FeedForward(width, gated=f"ffn_gate{suffix}.weight" in tensors, fused=fused)
