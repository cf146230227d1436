import pytest
import torch

import cmac_mm  # noqa: F401
from cmac_mm.models import KeyQueue


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("batches", [(3, 3, 3), (1,), (4,), (5, 6), (10, 2), (7, 7), (3, 4)])
def test_ring_buffer_against_list(size, batches):
    """At size - 1, size, size + 1 and far beyond; batches that do not divide the queue."""
    queue = KeyQueue(size, 2)
    slots = [(key.clone(), -1) for key in queue.keys]
    pointer = count = 0
    for batch in batches:
        keys = torch.randn(batch, 2)
        rows = torch.arange(count, count + batch)
        count += batch
        queue.enqueue(keys, rows)
        for key, row in zip(keys, rows.tolist(), strict=True):
            slots[pointer] = (key, row)
            pointer = (pointer + 1) % size
        assert queue.pointer.item() == pointer
        assert queue.sample_idx.tolist() == [row for _, row in slots]
        torch.testing.assert_close(queue.keys, torch.stack([key for key, _ in slots]))


def test_starts_with_random_unit_vectors_of_no_video():
    queue = KeyQueue(50, 8)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(50))
    assert (queue.sample_idx == -1).all()
    assert queue.keys.std(dim=0).min() > 0.1


def test_state_is_in_the_checkpoint():
    queue, copy = KeyQueue(5, 2), KeyQueue(5, 2)
    queue.enqueue(torch.randn(3, 2), torch.tensor([4, 5, 6]))
    copy.load_state_dict(queue.state_dict())
    for key in ("keys", "sample_idx", "pointer"):
        assert torch.equal(getattr(copy, key), getattr(queue, key))


def test_refuses():
    with pytest.raises(ValueError, match="size"):
        KeyQueue(0, 2)
    with pytest.raises(ValueError, match="expected keys"):
        KeyQueue(4, 2).enqueue(torch.randn(3, 5), torch.arange(3))
    with pytest.raises(ValueError, match="expected keys"):
        KeyQueue(4, 2).enqueue(torch.randn(3, 2), torch.arange(2))
