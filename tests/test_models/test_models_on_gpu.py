"""Losses, memories, preprocessor and training steps on a GPU, against double precision on a CPU."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers.devices import on_each_device, without_waiting
from helpers.method_steps import METHODS, make_data
from mmengine.optim import OptimWrapper

from cmac_mm.engine.loops.transfer import on_device
from cmac_mm.models import AudioVisualDataPreprocessor
from cmac_mm.models.losses import attention_consistency, nce_loss, queue_contrast
from cmac_mm.models.memories import KeyQueue, MemoryBank, draw_negatives
from cmac_mm.models.necks.pyramid_correlation import pyramid_correlation


def rand(*shape, seed=0, unit=False):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return F.normalize(x, dim=-1) if unit else x


def contrast(query, positive, keys, rows, key_rows):
    return queue_contrast(query, positive, [(keys, key_rows)], rows, 0.07)[0]


LOSSES = {
    "contrast": (
        contrast,
        [rand(6, 16, seed=i, unit=True) for i in range(2)] + [rand(50, 16, seed=3, unit=True)],
        [torch.arange(6), torch.arange(50) % 9],
    ),
    "nce": (nce_loss, [rand(4, 3), rand(4, 30, seed=1), torch.tensor(2.5).double()], []),
    "consistency": (attention_consistency, [rand(3, 2, 4, 4), rand(3, 2, 4, 4, seed=1)], []),
    "attention of pictures": (pyramid_correlation, [rand(3, 8), rand(3, 8, 4, 6, 6, seed=1)], []),
    "attention of sound": (pyramid_correlation, [rand(3, 8), rand(3, 8, 9, 4, seed=1)], []),
}


@on_each_device
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_float32_under_autocast(loss, device):
    function, inputs, numbers = LOSSES[loss]
    exact = [x.clone().requires_grad_() for x in inputs]
    function(*exact, *numbers).square().sum().backward()
    own = [x.float().to(device).requires_grad_() for x in inputs]
    with torch.autocast(device, torch.bfloat16), without_waiting(device):
        out = function(*own, *(x.to(device, non_blocking=True) for x in numbers))
    assert out.dtype == torch.float32
    out.square().sum().backward()
    with torch.no_grad():
        torch.testing.assert_close(
            out.cpu().double(), function(*inputs, *numbers), rtol=1e-4, atol=1e-5
        )
    for x, y in zip(own, exact, strict=True):
        torch.testing.assert_close(x.grad.cpu().double(), y.grad, rtol=1e-3, atol=1e-4)


@on_each_device
def test_memories(device):
    """A queue that wraps around, and a bank with a video that is there twice."""
    torch.manual_seed(0)
    queue = KeyQueue(5, 4).to(device)
    for start in (0, 3, 6):
        keys = rand(3, 4, seed=start, unit=True).float().to(device)
        with without_waiting(device):
            queue.enqueue(keys, torch.arange(start, start + 3).to(device, non_blocking=True))
    assert queue.sample_idx.tolist() == [5, 6, 7, 8, 4] and int(queue.pointer) == 4
    assert torch.equal(queue.keys[1:4].cpu(), rand(3, 4, seed=6, unit=True).float())

    banks = [MemoryBank(6, 4).double(), MemoryBank(6, 4)]
    banks[1].load_state_dict(banks[0].state_dict())
    banks[1].to(device)
    for bank, x in zip(banks, (rand(3, 4), rand(3, 4).float().to(device)), strict=True):
        with without_waiting(device):
            bank.update(torch.tensor([2, 5, 2]).to(x.device, non_blocking=True), x)
    torch.testing.assert_close(banks[1].entries.cpu().double(), banks[0].entries)


@on_each_device
def test_negatives_are_those_of_the_cpu(device):
    rows, positives = torch.arange(4), torch.tensor([[5, 6], [7, -1], [5, 5], [-1, -1]])
    options = dict(size=20, num=4000, seeds=[3, 4, 5, 6])
    expected = draw_negatives(rows, positives=positives, **options)
    rows, positives = rows.to(device), positives.to(device)
    with without_waiting(device):
        found = draw_negatives(rows, positives=positives, **options)
    assert found.device.type == device and torch.equal(found.cpu(), expected)


@on_each_device
@pytest.mark.parametrize("clips", [None, 2])
def test_preprocessor(clips, device):
    """The same jitter on each device, in the encoders' memory format."""
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)
    preprocessor = AudioVisualDataPreprocessor(color_jitter=jitter)
    expected = preprocessor(make_data(clips), training=True)["inputs"]
    preprocessor.to(device)
    (data,) = on_device([make_data(clips)]) if device == "cuda" else [make_data(clips)]
    with without_waiting(device):
        found = preprocessor(data, training=True)["inputs"]
    for key, x in found.items():
        assert x.device.type == device
        # Hue turns at grey, where rounding decides.
        far = (x.cpu() - expected[key]).abs() > 1e-3
        assert far.float().mean() < 1e-3, key
    if clips is None:
        assert found["imgs"].is_contiguous(memory_format=torch.channels_last_3d)


def steps(model, device, dtype, clips, bfloat16=False):
    """Parts of the loss of three steps, of which the last two may not wait.

    Eight videos and a low rate: batch norm over fewer magnifies rounding.
    """
    model = copy.deepcopy(model).to(device, dtype).train()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9))
    found = []
    for step in range(3):
        batch = make_data(clips, size=8, seed=10 * step)
        batch["inputs"]["audio"] = batch["inputs"]["audio"].to(dtype)
        if device == "cuda":
            batch["inputs"] = {key: x.pin_memory() for key, x in batch["inputs"].items()}
            (batch,) = on_device([batch])
        wait = without_waiting(device if step else "cpu")
        with wait, torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            data = model.data_preprocessor(batch, training=True)
            data["inputs"]["imgs"] = data["inputs"]["imgs"].to(dtype)
            parts = model(**data, mode="loss")
        with without_waiting(device if step else "cpu"):
            loss, _ = model.parse_losses(parts)
            wrapper.update_params(loss)
        found.append({name: x.detach() for name, x in parts.items() if "loss" in name})
    return [{name: x.item() for name, x in parts.items()} for parts in found]


@on_each_device
@pytest.mark.parametrize("method", METHODS)
def test_training_steps(method, device):
    build, clips = METHODS[method]
    model = build()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        own = steps(model, device, torch.float32, clips)
    exact = steps(model, "cpu", torch.float64, clips)
    for found, expected in zip(own, exact, strict=True):
        assert found == pytest.approx(expected, rel=0.1)


@on_each_device
@pytest.mark.parametrize("method", ["cmac", "avid-cma", "xdc"])
def test_training_steps_in_bfloat16(method, device):
    build, clips = METHODS[method]
    model = build()
    own = steps(model, device, torch.float32, clips, bfloat16=True)
    exact = steps(model, "cpu", torch.float32, clips)
    assert own[0] == pytest.approx(exact[0], rel=0.2)
    assert all(0 <= value < 1e4 for value in own[-1].values())


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["cmac", "avid-cma", "xdc"])
def test_the_device_changes_no_buffer_of_a_checkpoint(method):
    """To the GPU, into a checkpoint, and back."""
    model = METHODS[method][0]()
    before = {key: x.clone() for key, x in model.state_dict().items()}
    other = METHODS[method][0]().cuda()
    other.load_state_dict(model.cuda().state_dict())
    for key, x in other.cpu().state_dict().items():
        assert torch.equal(x, before[key]), key
