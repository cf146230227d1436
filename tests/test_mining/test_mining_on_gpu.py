"""Mining and clustering where the banks are on a GPU."""

import pytest
import torch
import torch.nn.functional as F
from helpers.devices import on_each_device

from cmac_mm.evaluation.functional.bank_diagnostics import (
    mean_dot_product,
    neighbour_agreement,
    positive_precision,
)
from cmac_mm.mining import mine_positives
from cmac_mm.mining.agreement import _Search


def banks(size, channels, spread=1.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, size, channels, generator=generator)
    return F.normalize(x[:, :1] * (spread < 1) + spread * x, dim=2)


def exact(visual, audio, num, mode):
    """All pairs in double precision, rounded as the search does; of equal ones the lower row."""
    products = [(x.double() @ x.double().T) for x in (visual, audio)]
    combine = {"min": torch.minimum, "max": torch.maximum}.get(mode)
    scores = products[mode == "audio"] if combine is None else combine(*products)
    return (
        scores.float()
        .fill_diagonal_(-torch.inf)
        .sort(dim=1, descending=True, stable=True)[1][:, :num]
    )


@on_each_device
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("size", "channels"), [(300, 128), (700, 16), (200, 2048)])
def test_is_exact(size, channels, dtype, device):
    """Also where a GPU may add up parts of long sums in the shorter type."""
    x = banks(size, channels)
    for mode in ("min", "visual"):
        found = mine_positives(*x.to(device), 8, mode, chunk_size=64, dtype=dtype)
        assert torch.equal(found.cpu(), exact(*x, 8, mode)), mode


@on_each_device
def test_collapsed_banks(device):
    """bfloat16 cannot tell the rows apart: the search goes on in float32."""
    x = banks(400, 16, spread=1e-4)
    found = mine_positives(*x.to(device), 5, chunk_size=16)
    assert torch.equal(found.cpu(), exact(*x, 5, "min"))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finds_what_the_cpu_finds(dtype):
    x = banks(5003, 128)
    found = mine_positives(*x.cuda(), chunk_size=64, dtype=dtype)
    assert torch.equal(found.cpu(), mine_positives(*x))


@on_each_device
def test_some_rows_and_the_default_chunks(device):
    x = banks(3000, 32)
    rows = torch.tensor([5, 2999, 17])
    found = mine_positives(*x.to(device), 4, rows=rows.to(device))
    assert torch.equal(found.cpu(), exact(*x, 4, "min")[rows])


def test_sums_are_never_shortened(monkeypatch):
    """And PyTorch's switches are as before."""
    flags = torch.backends.cuda.matmul
    seen = []
    search = _Search._search

    def look(self, *args):
        seen.append(flags.allow_bf16_reduced_precision_reduction)
        seen.append(flags.allow_fp16_reduced_precision_reduction)
        search(self, *args)

    monkeypatch.setattr(_Search, "_search", look)
    mine_positives(*banks(40, 8), 3)
    assert seen and not any(seen)
    assert flags.allow_bf16_reduced_precision_reduction
    assert flags.allow_fp16_reduced_precision_reduction


@on_each_device
def test_diagnostics(device):
    """What is logged after mining, its labels on the CPU."""
    x = banks(200, 16)
    labels = torch.arange(200) % 4
    values = []
    for place in ("cpu", device):
        visual, audio = x.to(place)
        positives = mine_positives(visual, audio, 8)
        values.append(
            {
                "dot": mean_dot_product(visual),
                **neighbour_agreement(visual, audio, 8, num_rows=50),
                **positive_precision(positives, labels),
            }
        )
    assert values[1] == pytest.approx(values[0], abs=1e-6)
