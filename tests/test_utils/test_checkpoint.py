"""Loading weights that must match. What is refused to be unpickled is in tests/test_compat.py."""

from argparse import Namespace

import pytest
import torch
from torch import nn

from cmac_mm.utils import load_checkpoint, load_weights


@pytest.fixture
def encoder():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def make_state(prefix="", skip=()):
    state = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()
    return {prefix + key: value + 1 for key, value in state.items() if key not in skip}


@pytest.mark.parametrize("prefix", ["", "visual_backbone."])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_loads_every_weight(tmp_path, encoder, prefix, wrapped, nested):
    state = make_state(("module." if wrapped else "") + prefix)
    if prefix:
        state["head.weight"] = torch.ones(1)
    torch.save({"state_dict": state, "meta": {}} if nested else state, tmp_path / "w.pth")
    load_weights(encoder, tmp_path / "w.pth", prefix)
    torch.testing.assert_close(
        dict(encoder.state_dict()),
        {
            key.removeprefix("module.").removeprefix(prefix): v
            for key, v in state.items()
            if "head" not in key
        },
    )


@pytest.mark.parametrize(
    ("state", "prefix", "message"),
    [
        (make_state("a."), "b.", r"no key starts with 'b\.'; keys start with \['a'\]"),
        (make_state(skip=["1.bias"]), "", r"1 missing in the file: 1\.bias"),
        (make_state() | {"2.bias": torch.ones(1)}, "", r"1 unknown to the module: 2\.bias"),
        (make_state() | {"0.bias": torch.ones(4)}, "", r"0\.bias \(file \(4,\), module \(2,\)\)"),
    ],
)
def test_says_what_does_not_match(tmp_path, encoder, state, prefix, message):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(RuntimeError, match=message):
        load_weights(encoder, tmp_path / "w.pth", prefix)
    torch.testing.assert_close(dict(encoder.state_dict()), before)


def test_load_checkpoint_is_weights_only(tmp_path):
    torch.save({"args": Namespace(lr=1)}, tmp_path / "args.pth")
    with pytest.raises(RuntimeError, match=r"args\.pth is refused: it holds a argparse\.Namespace"):
        load_checkpoint(tmp_path / "args.pth")
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*none\.pth does not exist"):
        load_checkpoint(tmp_path / "none.pth")
