"""The examples in plain PyTorch: each makes a step that trains all its encoders."""

import runpy

import pytest
import torch
from helpers.paths import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.stem)
def example(request):
    state = torch.random.get_rng_state()
    yield request.param.stem, runpy.run_path(str(request.param))
    torch.random.set_rng_state(state)


def test_trains_both_encoders(example):
    _, names = example
    assert names["loss"].isfinite()
    for encoder in names["encoders"].values():
        gradients = [parameter.grad for parameter in encoder.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_memories(example):
    """What a step leaves behind: keys in the queues, moved rows in the banks, labels of all."""
    method, names = example
    for name in ("visual", "audio"):
        if method == "cmac":
            queue = names["queues"][name]
            assert queue.sample_idx[:5].tolist() == [0, 1, 2, 3, -1]
            assert torch.equal(queue.keys[:4], names["keys"][name])
        elif method == "avid":
            bank, query = names["banks"][name], names["queries"][name].detach()
            moved = bank.rows(names["rows"])
            assert ((moved * query).sum(dim=1) > 0.5).all()  # half of the way
        else:
            labels = names["labels"][name]
            assert labels.shape == (16,) and set(labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_is_short(path):
    assert len(path.read_text().splitlines()) < 60


def test_one_for_each_method():
    assert [path.stem for path in EXAMPLES] == ["avid", "cmac", "deep_clustering"]
