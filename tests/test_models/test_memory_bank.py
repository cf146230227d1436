"""The bank against a list of vectors, moved one by one."""

import pytest
import torch
import torch.nn.functional as F

import cmac_mm  # noqa: F401
from cmac_mm.models import MemoryBank
from cmac_mm.models.memories import memory_bank


def slow_update(rows, idx, embeddings, momentum):
    """Row by row; embeddings of one video averaged first."""
    rows = [row.clone() for row in rows]
    for video in set(idx):
        own = [z for i, z in zip(idx, embeddings, strict=True) if i == video]
        mixed = momentum * rows[video] + (1 - momentum) * sum(own) / len(own)
        rows[video] = mixed / mixed.norm()
    return torch.stack(rows)


@pytest.mark.parametrize("size", [3, 7, 100])
@pytest.mark.parametrize("idx", [[0], [2, 0, 1], [1, 1], [2, 0, 2, 2, 1, 0]])
@pytest.mark.parametrize("momentum", [0.5, 0.0, 0.9])
def test_update_against_slow_loop(size, idx, momentum):
    torch.manual_seed(0)
    bank = MemoryBank(size, channels=5, momentum=momentum)
    for _ in range(3):
        before = bank.entries.clone()
        embeddings = F.normalize(torch.randn(len(idx), 5), dim=1)
        bank.update(torch.tensor(idx), embeddings)
        torch.testing.assert_close(bank.entries, slow_update(before, idx, embeddings, momentum))
        untouched = [i for i in range(size) if i not in idx]
        assert torch.equal(bank.entries[untouched], before[untouched])
        torch.testing.assert_close(bank.entries.norm(dim=1), torch.ones(size))


def test_closed_form():
    """Half of east and half of north is north-east."""
    bank = MemoryBank(2, channels=2)
    bank.entries.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    bank.update(torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(bank.entries, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))


def test_a_video_that_comes_often_has_one_value_to_the_last_bit():
    """Else the order of writing would decide."""
    torch.manual_seed(0)
    idx = torch.randint(0, 20, (200,))
    embeddings = F.normalize(torch.randn(200, 128), dim=1)
    banks = []
    for order in (torch.arange(200), torch.arange(200).flip(0)):
        torch.manual_seed(1)
        bank = MemoryBank(20)
        bank.update(idx[order], embeddings[order])
        banks.append(bank.entries)
    torch.testing.assert_close(banks[0], banks[1], rtol=1e-5, atol=1e-6)


def test_rows_have_no_gradient_and_keep_what_they_were():
    bank = MemoryBank(4, channels=3)
    rows = bank.rows(torch.tensor([[0, 1], [3, 3]]))
    assert rows.shape == (2, 2, 3) and not rows.requires_grad
    before = rows.clone()
    bank.update(torch.tensor([0]), F.normalize(torch.randn(1, 3), dim=1))
    assert torch.equal(rows, before) and not torch.equal(bank.entries[0], before[0, 0])


def test_starts_with_random_unit_vectors():
    bank = MemoryBank(500, channels=16)
    torch.testing.assert_close(bank.entries.norm(dim=1), torch.ones(500))
    assert bank.entries.dtype == torch.float32
    assert (bank.entries @ bank.entries.T).fill_diagonal_(0).mean().abs() < 0.01
    bank.resize(30, torch.Generator().manual_seed(4))
    other = MemoryBank(0, channels=16)
    other.resize(30, torch.Generator().manual_seed(4))
    assert torch.equal(bank.entries, other.entries) and len(bank.entries) == 30


def test_state_is_in_the_checkpoint_and_brings_its_size():
    bank, empty = MemoryBank(5, 4), MemoryBank(0, 4)
    empty.load_state_dict(bank.state_dict())
    assert torch.equal(bank.entries, empty.entries)
    with pytest.raises(RuntimeError, match="size mismatch"):
        MemoryBank(6, 4).load_state_dict(bank.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch"):
        MemoryBank(0, 3).load_state_dict(bank.state_dict())


def test_refuses():
    with pytest.raises(ValueError, match="size"):
        MemoryBank(-1)
    with pytest.raises(ValueError, match="momentum"):
        MemoryBank(3, momentum=1.5)
    with pytest.raises(ValueError, match="expected idx"):
        MemoryBank(3, 4).update(torch.tensor([0]), torch.randn(1, 5))
    with pytest.raises(ValueError, match="expected idx"):
        MemoryBank(3, 4).update(torch.tensor([0, 1]), torch.randn(1, 4))


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_half_precision_is_rounding_alone(momentum):
    """Each update against the same one in float32, from the same rows; rounded only when kept."""
    torch.manual_seed(0)
    bank = MemoryBank(50, channels=128, momentum=momentum, dtype="float16")
    assert bank.entries.dtype == torch.float16 and bank.entries.nbytes == 50 * 128 * 2
    for _ in range(20):
        idx = torch.randint(50, (16,))
        embeddings = F.normalize(torch.randn(16, 128), dim=1)
        full = MemoryBank(50, channels=128, momentum=momentum)
        full.entries = bank.precise_entries()
        assert full.entries.dtype == torch.float32
        full.update(idx, embeddings)
        bank.update(idx, embeddings)
        assert torch.equal(bank.entries, full.entries.half())
        assert (bank.precise_entries() - full.entries).abs().max() <= 2.5e-4
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float16', got 'int8'"):
        MemoryBank(3, dtype="int8")


def test_rows_drawn_in_parts_are_those_drawn_at_once(monkeypatch):
    def draw(dtype):
        bank = MemoryBank(0, 24, dtype=dtype)
        bank.resize(1001, torch.Generator().manual_seed(3))
        return bank.entries

    whole = F.normalize(torch.randn(1001, 24, generator=torch.Generator().manual_seed(3)), dim=1)
    monkeypatch.setattr(memory_bank, "_DRAWN", 64)
    assert torch.equal(draw("float32"), whole)
    assert torch.equal(draw("float16"), whole.half())
