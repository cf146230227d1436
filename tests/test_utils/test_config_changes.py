import pytest
from mmengine.config import Config

from cmac_mm.utils.config_changes import config_changes

OLD = dict(
    work_dir="a",
    model=dict(type="Net", classes=3, init_cfg=dict(checkpoint="x")),
    optim_wrapper=dict(
        type="OptimWrapper",
        optimizer=dict(type="SGD", lr=0.1),
        clip_grad=dict(max_norm=1),
    ),
    param_scheduler=[
        dict(type="LinearLR", end=5),
        dict(type="MultiStepLR", milestones=[3, 6]),
        dict(type="ConstantLR", end=1),
    ],
    train_cfg=dict(max_epochs=9),
    randomness=dict(seed=1),
    custom=[1, "it's", None, -2.5, (1, 2), {"a b": True}],
)


def text(changes=()):
    cfg = Config(OLD)
    cfg.merge_from_dict(dict(changes))
    return cfg.pretty_text


def test_nothing_to_say():
    assert config_changes(text(), text({"work_dir": "b", "load_from": "c", "resume": True})) == []


def test_whose_value_holds():
    new = text(
        {
            "optim_wrapper.optimizer.lr": 0.01,
            "optim_wrapper.optimizer.type": "Adam",
            "optim_wrapper.optimizer.weight_decay": 0.5,
            "optim_wrapper.clip_grad.max_norm": 2,
            "param_scheduler.1.milestones": [8, 10],
            "train_cfg.max_epochs": 12,
            "randomness.seed": 2,
            "model.init_cfg.checkpoint": "y",
            "model.classes": 4,
        }
    )
    theirs, ours = "(the checkpoint's holds)", "(the config's holds)"
    assert config_changes(text(), new) == [
        f"model.init_cfg.checkpoint: 'x' -> 'y' {theirs}",
        f"optim_wrapper.optimizer.lr: 0.1 -> 0.01 {theirs}",
        f"optim_wrapper.optimizer.weight_decay: not set -> 0.5 {theirs}",
        f"param_scheduler.1.end: 9 -> 12 {theirs}",  # with the run, unless it is set
        f"param_scheduler.1.milestones: [3, 6] -> [8, 10] {theirs}",
        f"randomness.seed: 1 -> 2 {theirs}",
        f"model.classes: 3 -> 4 {ours}",
        f"optim_wrapper.clip_grad.max_norm: 1 -> 2 {ours}",
        f"optim_wrapper.optimizer.type: 'SGD' -> 'Adam' {ours}",
        f"train_cfg.max_epochs: 9 -> 12 {ours}",
    ]


def test_a_scheduler_more_or_less_is_the_configs():
    shorter = Config({**OLD, "param_scheduler": OLD["param_scheduler"][:2]}).pretty_text
    line = "param_scheduler.2.end: 1 -> not set (the config's holds)"
    assert line in config_changes(text(), shorter)
    line = "param_scheduler.2.end: not set -> 1 (the config's holds)"
    assert line in config_changes(shorter, text())


def test_text_is_not_run(tmp_path):
    """A checkpoint may hold any text."""
    evil = f"a = __import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()\n"
    assert len(config_changes(evil, "a = 1\n")) == 1
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match="cannot be read"):
        config_changes("a = (", "")
    many = "\n".join(f"a{number} = {number}" for number in range(50))
    assert config_changes(many, "")[-1] == "... and 20 more"
