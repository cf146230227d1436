"""Mining inside real training runs."""

import json
from pathlib import Path

import pytest
import torch
from helpers.ranks import train_on_two_ranks
from helpers.training import assert_same, make_config, train
from mmengine.runner import Runner

from cmac_mm.evaluation.functional import mean_dot_product, positive_precision
from cmac_mm.mining import mine_positives

MODEL = dict(
    _delete_=True,
    type="AVID",
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        color_jitter=dict(brightness=0.4, hue=0.2),
    ),
    visual_backbone=dict(
        type="R2Plus1D",
        depth=18,
        variant="avid",
        base_channels=4,
        stage_blocks=(1, 1, 1, 1),
        strides=(1, 2, 1, 1),
    ),
    audio_backbone=dict(type="AudioResNet", depth=9, base_channels=4, strides=(1, 2, 1, 1)),
    head=dict(
        type="AVIDHead",
        visual_channels=32,
        audio_channels=32,
        hidden_channels=16,
        embed_channels=8,
        num_agreement_negatives=6,
    ),
    num_negatives=12,
    num_positives=3,
)


def options(**others):
    """Of four epochs of five steps, the second and the fourth mine."""
    return {
        "model": dict(MODEL),  # MMEngine takes "_delete_" out
        "train_cfg.max_epochs": 4,
        "custom_hooks": [
            dict(type="MemoryBankHook"),
            dict(type="CrossModalAgreementHook", start_epoch=1, interval=2),
        ],
        **others,
    }


def logged(work_dir):
    """What was logged at each mining."""
    lines = [
        json.loads(line)
        for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
        for line in path.read_text().splitlines()
    ]
    return [line for line in lines if "mining/visual_mean_dot" in line]


def test_resumed_run_mines_when_the_whole_one_does(config, shapes, tmp_path):
    """Stopped before and after a mining, at an epoch's end, and inside a resumed run."""
    losses, state = train(config(tmp_path / "at once", **options()))
    assert len(losses) == 20
    assert (state["positives"] >= 0).all(dim=1).sum() == 10  # of one that is broken there are none
    looks = logged(tmp_path / "at once")
    assert [look["epoch"] for look in looks] == [1, 3]
    assert [look["step"] for look in looks] == [5, 15]

    cfg = config(tmp_path / "in parts", **options())
    done = 0
    for stop in (4, 5, 7, 10, 17):
        part, _ = train(cfg, stop_after=stop, resume=done > 0)
        assert part == losses[stop - len(part) : stop]
        done = stop
    rest, resumed = train(cfg, resume=True)
    assert rest == losses[20 - len(rest) :]
    assert_same(state, resumed)


def test_mining_is_not_timed_as_loading(config, tmp_path):
    hooks = [type(hook).__name__ for hook in Runner.from_cfg(config(tmp_path, **options())).hooks]
    assert hooks.index("CrossModalAgreementHook") < hooks.index("IterTimerHook")


def test_positives_are_those_of_the_banks_at_that_time(config, shapes, tmp_path):
    cfg = config(tmp_path, **options())
    train(cfg, stop_after=15)  # the fourth epoch has mined, but not yet made a step
    banks = torch.load(tmp_path / "epoch_3.pth", weights_only=False)["state_dict"]
    visual, audio = (banks[f"banks.{name}.entries"] for name in ("visual", "audio"))
    state = train(cfg, resume=True)[1]
    left_out = banks["left_out"] > 0
    expected = mine_positives(visual, audio, num_positives=3, left_out=left_out)
    assert torch.equal(state["positives"], expected)
    look = logged(tmp_path)[-1]
    assert look["mining/visual_mean_dot"] == pytest.approx(mean_dot_product(visual[~left_out]))
    lines = (shapes / "train.txt").read_text().splitlines()
    labels = torch.tensor([int(line.split()[1]) for line in lines])
    precision = positive_precision(expected, labels)
    assert look["mining/precision@1"] == pytest.approx(precision["precision@1"])
    assert look["mining/precision_chance"] == pytest.approx(precision["chance"])


@pytest.mark.slow
def test_two_ranks_mine_what_one_mines(shapes, tmp_path):
    others = {
        "sync_bn": "torch",
        "optim_wrapper.optimizer": dict(type="SGD", lr=0.001, _delete_=True),
        "train_cfg.max_epochs": 2,
    }
    two = options(**others, **{"train_dataloader.batch_size": 1})
    ranks = train_on_two_ranks(
        {**two, "shapes": str(shapes), "work_dir": str(tmp_path / "two")}, tmp_path
    )
    cfg = make_config(shapes, tmp_path / "one", options(**others))
    _, state = train(cfg, dtype=torch.float64)
    for rank in ranks:
        assert torch.equal(rank["state"]["positives"], state["positives"])


def test_bad_arguments_are_refused(config, tmp_path):
    hook = dict(type="CrossModalAgreementHook")
    for wrong, message in (
        (dict(interval=0), "interval >= 1, got .*interval=0"),
        (dict(mode="mean"), "mode must be .* got 'mean'"),
    ):
        with pytest.raises(ValueError, match=message):
            Runner.from_cfg(config(tmp_path, custom_hooks=[{**hook, **wrong}]))
    with pytest.raises(ValueError, match="num_positives >= 1, such as AVID, found CMAC"):
        train(config(tmp_path, custom_hooks=[hook]))
