"""Starting an encoder from a checkpoint: all of it, or an error that says what does not match."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import nn

import cmac_mm  # noqa: F401

THIN = dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1))


def encoder(checkpoint=None, prefix="visual_backbone.", **kwargs):
    init_cfg = dict(type="PretrainedEncoder", checkpoint=checkpoint, prefix=prefix)
    module = MODELS.build({**THIN, **kwargs, "init_cfg": init_cfg})
    module.init_weights()
    return module


@pytest.fixture
def checkpoint(tmp_path):
    """A pretraining checkpoint with two encoders, no value of which a fresh encoder has."""
    state = {}
    for name in ("visual_backbone", "audio_backbone"):
        for key, value in MODELS.build(THIN).state_dict().items():
            state[f"{name}.{key}"] = torch.full_like(value, 3 if name[0] == "v" else 5)
    path = tmp_path / "pretrained.pth"
    torch.save({"state_dict": {**state, "head.weight": torch.ones(2)}, "meta": {}}, path)
    return path


@pytest.mark.parametrize(("prefix", "value"), [("visual_backbone.", 3), ("audio_backbone.", 5)])
def test_takes_weights_and_statistics_of_the_prefix(checkpoint, prefix, value):
    module = encoder(str(checkpoint), prefix)
    assert all((tensor == value).all() for tensor in module.state_dict().values())
    assert module.pretrained_checkpoint == str(checkpoint)


def test_without_a_checkpoint_it_is_the_default_initialisation():
    torch.manual_seed(0)
    expected = MODELS.build(THIN)
    expected.init_weights()
    torch.manual_seed(0)
    module = encoder()
    torch.testing.assert_close(dict(module.state_dict()), dict(expected.state_dict()))
    conv = module.layer4[0].conv1[0][0].weight  # Kaiming: torch's own default is a third of it
    fan_out = conv.shape[0] * conv[0, 0].numel()
    assert conv.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
    assert not hasattr(module, "pretrained_checkpoint")


def test_errors_list_what_does_not_match(checkpoint, tmp_path):
    with pytest.raises(RuntimeError, match=r"no key starts with 'encoder\.'; keys start with"):
        encoder(checkpoint, "encoder.")
    with pytest.raises(RuntimeError, match=r"(?s)missing in the file: .*unknown to the module: "):
        encoder(checkpoint, variant="avid")
    with pytest.raises(RuntimeError, match=r"of another shape: .*\(file \(\d+,\), module"):
        encoder(checkpoint, base_channels=8)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth does not exist"):
        encoder(tmp_path / "nowhere.pth")


def test_children_do_not_overwrite_what_was_loaded(tmp_path):
    class Child(BaseModule):
        def __init__(self):
            super().__init__(init_cfg=dict(type="Constant", layer="Linear", val=7))
            self.linear = nn.Linear(2, 2)

    class Encoder(BaseModule):
        def __init__(self):
            path = tmp_path / "w.pth"
            super().__init__(init_cfg=dict(type="PretrainedEncoder", checkpoint=path, prefix=""))
            self.child = Child()

    module = Encoder()
    torch.save(
        {key: torch.full_like(v, 3) for key, v in module.state_dict().items()}, tmp_path / "w.pth"
    )
    module.init_weights()
    assert (module.child.linear.weight == 3).all()
