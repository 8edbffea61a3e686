import gguf
import numpy as np
import pytest

from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader
from reconciler.placement.attachments import Draft, attach
from reconciler.placement.devices import Device, Host
from reconciler.placement.memory import Split, estimate
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, fit
from tests.placement import shapes

GIB = 1024**3
SETTINGS = Settings(8192)
HALVES = Split(0, (16, 17))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> GgufHeader:
    path = tmp_path_factory.mktemp("lora") / "lora.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    for layer in (0, 31):
        writer.add_tensor(f"blk.{layer}.attn_q.weight.lora_a", np.zeros((16, 4096), dtype=np.float32))
        writer.add_tensor(f"blk.{layer}.attn_q.weight.lora_b", np.zeros((4096, 16), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return shapes.header(path)


@pytest.fixture(scope="module")
def projector(tmp_path_factory) -> GgufHeader:
    path = tmp_path_factory.mktemp("mmproj") / "mmproj.gguf"
    writer = gguf.GGUFWriter(path, "clip")
    for key, value in (("image_size", 896), ("patch_size", 14), ("embedding_length", 1152)):
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_uint32("clip.vision.feed_forward_length", 4304)
    writer.add_uint32("clip.vision.attention.head_count", 16)
    writer.add_tensor("v.blk.0.ffn_up.weight", np.zeros((4304, 1152), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return shapes.header(path)


def test_an_adapter_lies_with_its_layers(model, adapter):
    eight = model("llama-3.1-8b")
    plain, adapted = (estimate(one, SETTINGS, HALVES) for one in (eight, attach(eight, adapters=[adapter])))
    one_layer = 2 * 16 * 4096 * 4
    for before, after in zip(plain.devices, adapted.devices, strict=True):
        assert after.model - before.model == one_layer
    assert adapted.host == plain.host


def test_a_projector_counts_on_the_first_device(model, projector):
    eight = model("llama-3.1-8b")
    first, second = estimate(attach(eight, projector=projector), SETTINGS, HALVES).devices
    assert projector.tensor_bytes < first.beside < 2 * GIB
    assert second.beside == 0


def test_a_draft_brings_its_own_weights_cache_and_buffers(model):
    eight, small = model("llama-3.1-8b"), model("qwen3-4b")
    with_draft = attach(eight, draft=Draft(small, SETTINGS))
    alone = estimate(small, SETTINGS, Split(0, (small.slots,)))
    report = estimate(with_draft, SETTINGS, HALVES)
    assert report.devices[0].beside == alone.devices[0].total
    assert report.host.beside == alone.host.total


def test_a_draft_is_given_room(model):
    eight = attach(model("llama-3.1-8b"), draft=Draft(model("qwen3-4b"), SETTINGS))
    cards = [Device("a", Bytes(8 * GIB), 960e9), Device("b", Bytes(12 * GIB), 360e9)]
    found = fit(eight, SETTINGS, cards, Host(Bytes(32 * GIB)))
    assert isinstance(found, Placement)
    assert found.devices != ("a",)
    budgets = {card.id: card.budget for card in cards}
    for id_, taken in zip(found.devices, found.report.devices, strict=True):
        assert taken.total <= budgets[id_]
