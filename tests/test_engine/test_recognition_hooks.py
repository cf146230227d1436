"""Hooks of recognition: a backbone that waits, and where results and encoders come from."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn

from cmac_mm.engine.hooks import FreezeBackboneHook, ResultHook


class Deaf(BaseModule):
    """A backbone that passes init_cfg over, as MMAction2's ResNet3d does."""

    def init_weights(self):
        pass


def make_runner(tmp_path, model, checkpoint=None, **fields):
    init_cfg = dict(type="PretrainedEncoder", checkpoint=checkpoint)
    (tmp_path / "name.py").touch()
    cfg = Config(
        dict(model=dict(backbone=dict(init_cfg=[init_cfg]))),
        cfg_text="",
        filename=tmp_path / "name.py",
    )
    logger = MMLogger.get_instance("hooks")
    return SimpleNamespace(cfg=cfg, model=model, work_dir=str(tmp_path), logger=logger, **fields)


def test_an_encoder_that_was_not_loaded_is_an_error(tmp_path):
    model = nn.Sequential()
    model.backbone = Deaf()
    with pytest.raises(RuntimeError, match=r"a\.pth was not loaded: the backbone Deaf passes"):
        ResultHook("x").before_train(make_runner(tmp_path, model, "a.pth"))
    model.backbone.pretrained_checkpoint = "a.pth"
    ResultHook("x").before_train(make_runner(tmp_path, model, "a.pth"))


@pytest.mark.parametrize("encoder", [None, "a.pth"])
def test_the_result_says_where_the_encoder_came_from(tmp_path, encoder):
    model = nn.Sequential()
    model.backbone = nn.Module()
    if encoder:
        model.backbone.pretrained_checkpoint = encoder
    trained = {"meta": dict(epoch=12, seed=3)}
    training = ResultHook("ucf101-finetune")
    training.before_train(make_runner(tmp_path, model, encoder))
    training.before_save_checkpoint(None, trained)

    # The test's config names no encoder.
    loader = SimpleNamespace(dataset=range(7))
    runner = make_runner(tmp_path, model, _load_from="epoch_12.pth", test_dataloader=loader)
    hook = ResultHook("ucf101-finetune", protocol="cmac-32x128", split=2)
    hook.after_load_checkpoint(runner, trained)
    hook.after_test_epoch(runner, {"acc/top1": 0.5, "acc/mean_class": 0.25})
    result = json.loads((tmp_path / "ucf101-finetune.json").read_text())
    del result["date"]
    assert result == dict(
        benchmark="ucf101-finetune",
        checkpoint=encoder,
        metrics=dict(top1=0.5, mean_class=0.25),
        protocol="cmac-32x128",
        split=2,
        model="epoch_12.pth",
        epoch=12,
        seed=3,
        config="name.py",
        num_videos=7,
    )


def test_the_backbone_waits_and_the_optimizer_starts_afresh():
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.head = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=SimpleNamespace(optimizer=optimizer),
        train_dataloader=range(2),
        iter=0,
    )
    hook = FreezeBackboneHook(num_epochs=2)
    hook.before_train(runner)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for runner.epoch in range(4):
        hook.before_train_epoch(runner)
        model.train()  # as the loop does
        for batch in range(2):
            hook.before_train_iter(runner, batch)
            loss = model.head(model.backbone(torch.randn(8, 3))).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            runner.iter += 1
        now = model.state_dict()
        same = {key for key, value in before.items() if torch.equal(value, now[key])}
        expected = {key for key in before if key.startswith("backbone.")}
        assert same == (expected if runner.epoch < 2 else set())
    # Two epochs of two steps, counted from the release on.
    assert {int(state["step"]) for state in optimizer.state.values()} == {4}
    assert len(optimizer.state) == len(list(model.parameters()))
