"""What an engine says of its buffers, held against its placement."""

from dataclasses import replace

import pytest

from reconciler.core.types import Bytes
from reconciler.kinds.placement.report import read_report
from tests.kinds.placement.conftest import GetFigures, place, wish

MIB = 1024**2
LOG = """\
0.00 I srv    load_model: loading model '/old.gguf'
0.01 I load_tensors:        CUDA0 model buffer size =  9999.00 MiB
0.02 I srv    load_model: loading model '/model.gguf'
0.03 I load_tensors:   CPU_Mapped model buffer size =   300.00 MiB
0.03 I load_tensors:        CUDA0 model buffer size =  2000.00 MiB
0.04 I llama_kv_cache:      CUDA0 KV buffer size =   100.00 MiB
0.04 I llama_kv_cache:      CUDA0 KV buffer size =    50.50 MiB
0.05 I sched_reserve:       CUDA0 compute buffer size =   300.00 MiB
0.05 I sched_reserve:   CUDA_Host compute buffer size =    20.00 MiB
"""


def test_the_last_load_counts_and_its_buffers_add_up(figures: GetFigures) -> None:
    unit = wish("a").unit
    record = place({wish("a"): figures("qwen3-4b")}).records[unit]
    [found] = read_report(LOG.splitlines(), record, ("GPU-a",))
    assert found.device == "GPU-a"
    assert found.reported == round(2450.5 * MIB)
    assert found.predicted == record.devices[0].total
    assert found.gap == pytest.approx((found.predicted - found.reported) / found.reported)


def test_a_log_that_does_not_tell_teaches_nothing(figures: GetFigures) -> None:
    record = place({wish("a"): figures("qwen3-4b")}).records[wish("a").unit]
    assert read_report(["0.02 I srv load_model: loading model", "ready"], record, ("GPU-a",)) == ()


def test_what_was_taken_beyond_the_prediction_is_added_when_placed_anew(figures: GetFigures) -> None:
    plain = place({wish("a"): figures("qwen3-4b")}).records[wish("a").unit]
    corrected = replace(figures("qwen3-4b"), excess=Bytes(100 * MIB))
    record = place({wish("a"): corrected}).records[wish("a").unit]
    assert record.devices[0].total == plain.devices[0].total + 100 * MIB
