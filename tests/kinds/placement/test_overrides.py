"""The external tool's answer, and what is told about it."""

import pytest

from reconciler.core.errors import FormatError
from reconciler.kinds.placement.overrides import read_overrides
from tests.kinds.placement.conftest import GetFigures, place, wish

GIB = 1024**3
ANSWER = """\
-ngl 0 -ot "blk.0.attn_output.weight=CUDA0" -ot "output.weight=CUDA2" -ot "blk.0.ffn_up.weight=CPU"
"""


def test_its_patterns_become_one_flag() -> None:
    found = read_overrides(ANSWER, gpus=3, context_bytes=0)
    assert found.flags[:3] == ("--gpu-layers", "0", "--override-tensor")
    assert found.flags[3].split(",") == [
        "blk.0.attn_output.weight=CUDA0",
        "output.weight=CUDA2",
        "blk.0.ffn_up.weight=CPU",
    ]


def test_what_is_wrong_with_it_is_told() -> None:
    context, loose, absent = read_overrides(ANSWER, gpus=2, context_bytes=4 * GIB).faults
    assert "4 GiB lies in RAM" in context
    assert "`output.weight`" in loose
    assert "CUDA2" in absent


def test_an_anchored_answer_that_offloads_layers_has_no_faults() -> None:
    answer = '-ngl 99 -ot "^output\\.weight$=CUDA0" -ot "^blk\\.0\\.attn_output\\.weight$=CUDA0"'
    assert read_overrides(answer, gpus=1, context_bytes=GIB).faults == ()


@pytest.mark.parametrize("answer", ["", "error: no GPU", '-ot "half'])
def test_what_holds_no_pattern_is_refused(answer: str) -> None:
    with pytest.raises(FormatError):
        read_overrides(answer, gpus=1, context_bytes=0)


def test_a_runtime_gets_the_tools_flags_and_its_faults_are_warnings(figures: GetFigures) -> None:
    wanted = wish("a", strategy="tensor-overrider")
    plan = place({wanted: figures("qwen3-4b")}, answers={wanted.unit: ANSWER})
    assert "--override-tensor" in plan.layouts[wanted.unit].flags
    assert plan.layouts[wanted.unit].visible == ("GPU-a", "GPU-b")
    assert any("gguf-tensor-overrider" in warning for warning in plan.warnings)


def test_an_answer_that_cannot_be_read_refuses_the_runtime(figures: GetFigures) -> None:
    wanted = wish("a", strategy="tensor-overrider")
    plan = place({wanted: figures("qwen3-4b")}, answers={wanted.unit: "nothing"})
    assert plan.layouts[wanted.unit].blocked is not None
