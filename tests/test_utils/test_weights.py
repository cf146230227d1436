"""Names that wrappers give to weights, values that are no numbers, weights of another model."""

from collections import OrderedDict

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import load_checkpoint as mmengine_load
from torch import nn

from cmac_mm.utils import load_weights
from cmac_mm.utils.weights import fit_weights, plain_key


class Model(BaseModel):
    """An encoder under a name, and a head with a number of classes."""

    def __init__(self, name="backbone", classes=2, channels=3):
        super().__init__()
        setattr(self, name, nn.Sequential(nn.Linear(channels, 4), nn.BatchNorm1d(4)))
        self.cls_head = nn.Linear(4, classes)

    def forward(self, *args, **kwargs):
        raise NotImplementedError


@pytest.mark.parametrize(
    "key",
    [
        "backbone.0.weight",
        "module.backbone.0.weight",
        "_orig_mod.backbone.0.weight",
        "module._orig_mod.backbone.0.weight",
        "_orig_mod.module.backbone.0.weight",
        "module.module._orig_mod.backbone._orig_mod.0._orig_mod.weight",
    ],
)
def test_names_without_wrappers(key):
    assert plain_key(key) == "backbone.0.weight"


def test_names_that_only_look_like_wrappers_stay():
    for key in ("modules.0.weight", "backbone.module.weight", "backbone.my_orig_mod.weight"):
        assert plain_key(key) == key


def compiled(model):
    """As `torch.compile` wraps a model and a part of it."""
    model.backbone[0] = torch.compile(model.backbone[0])
    return torch.compile(model)


@pytest.mark.parametrize("wrap", [lambda model: model, compiled, nn.DataParallel])
@pytest.mark.parametrize("load", [load_weights, lambda m, p: mmengine_load(m, p, strict=True)])
def test_a_compiled_model_and_a_plain_one_read_each_others_files(tmp_path, wrap, load):
    path = str(tmp_path / "w.pth")
    torch.manual_seed(0)
    source = Model()
    torch.save({"state_dict": wrap(source).state_dict()}, path)
    for target in (Model(), compiled(Model())):
        load(target, path)
        for ours, theirs in zip(
            target.state_dict().values(), source.state_dict().values(), strict=True
        ):
            assert torch.equal(ours, theirs)


def test_one_weight_under_two_names_is_refused(tmp_path):
    state = Model().state_dict()
    state["module.cls_head.bias"] = torch.ones(2)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(RuntimeError, match=r"w\.pth: weights are there twice"):
        load_weights(Model(), tmp_path / "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("load", [load_weights, mmengine_load])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value, load):
    state = Model().state_dict()
    state["backbone.1.running_var"][2] = value
    state["cls_head.weight"][:] = value
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    message = (
        r"w\.pth: 2 of 9 weights are infinite or not a number, the first is "
        r"backbone\.1\.running_var \(1 of its 4 values\)"
    )
    model = Model()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=message):
        load(model, str(tmp_path / "w.pth"))
    torch.testing.assert_close(dict(model.state_dict()), before)


def test_what_is_infinite_in_the_model_itself_may_be_so_in_the_file():
    model = Model()
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert fit_weights(model, model.state_dict(), "w.pth").keys() == model.state_dict().keys()


def test_weights_that_are_not_taken_are_not_looked_at():
    state = Model().state_dict()
    state["other_head.weight"] = torch.tensor([torch.nan])
    assert "other_head.weight" in fit_weights(Model(), state, "w.pth")


def test_part_loads_in_order():
    """Another number of classes, another head, encoders of a richer model, a longer encoder."""
    for source in (Model(classes=5), Model().backbone):
        state = source.state_dict()
        if not isinstance(source, Model):
            state = OrderedDict({f"backbone.{key}": value for key, value in state.items()})
        fit_weights(Model(), state, "w.pth")
    two = Model("visual_backbone")
    two.audio_backbone = nn.Linear(3, 3)
    fit_weights(two, Model("visual_backbone").state_dict(), "w.pth")
    longer = Model()
    longer.backbone.append(nn.Linear(4, 4))
    fit_weights(longer, Model().state_dict(), "w.pth")
    fit_weights(nn.Linear(2, 2), nn.Linear(2, 2).state_dict(), "w.pth")


def test_a_pretraining_checkpoint_in_place_of_one_of_the_model_is_refused(tmp_path):
    state = {**Model("visual_backbone").state_dict(), **Model("audio_backbone", 2, 7).state_dict()}
    path = tmp_path / "cmac.pth"
    torch.save({"state_dict": state}, path)
    with pytest.raises(RuntimeError) as info:
        mmengine_load(Model(classes=9), str(path))
    text = str(info.value)
    assert text.startswith(f"{path} does not fit Model: it holds 0 of the 7 weights of backbone")
    for part in (
        "model.backbone.init_cfg=dict(type='PretrainedEncoder', "
        f"checkpoint='{path}', prefix='visual_backbone.')",
        "load_from=None",
        f"model.backbone.init_cfg.checkpoint={path}",
    ):
        assert part in text


def test_weights_of_another_network_are_refused_and_listed(tmp_path):
    torch.save(Model(channels=8).state_dict(), tmp_path / "wide.pth")
    other = nn.Sequential(nn.Linear(2, 2))
    torch.save(other.state_dict(), tmp_path / "other.pth")
    mmengine_load(Model(), str(tmp_path / "wide.pth"))  # all but one weight fit
    with pytest.raises(
        RuntimeError, match=r"(?s)other\.pth does not fit Model.*0 of the 7.*missing"
    ):
        mmengine_load(Model(), str(tmp_path / "other.pth"))
    with pytest.raises(RuntimeError, match=r"wide\.pth does not fit Linear: .*0 of the 2 weights"):
        mmengine_load(nn.Linear(2, 2), str(tmp_path / "wide.pth"))
