"""MMEngine's FlexibleRunner and its strategies through our launch script."""

import shutil

import pytest
import torch
from helpers.paths import TINY
from helpers.ranks import run_on_two_ranks

CONFIG = f"""
_base_ = [{str(TINY / "tiny_config.py")!r}]
runner_type = "FlexibleRunner"
strategy = dict(type="FSDPStrategy", state_dict_cfg="full")
default_hooks = dict(checkpoint=dict(type="SafeCheckpointHook", save_best=None))
custom_hooks = []
"""


def train(folder, work_dir, *args):
    (folder / "config.py").write_text(CONFIG)
    args = ["config.py", "--seed", 1, "--work-dir", work_dir, *args]
    return run_on_two_ranks("train.py", *args, cwd=folder)


def test_two_ranks_share_the_weights(tmp_path):
    """Fully sharded, on two CPU processes; what is saved is whole."""
    code, output = train(tmp_path, "work")
    assert code == 0, output
    assert "Epoch(train) [1][2/2]" in output
    checkpoint = torch.load(tmp_path / "work/epoch_1.pth", weights_only=False)
    assert checkpoint["state_dict"]["layers.0.weight"].shape == (4, 4)
    assert checkpoint["optimizer"]["state"]["layers.0.weight"]["momentum_buffer"].shape == (4, 4)
    assert len(checkpoint["meta"]["run"]["id"]) == 12
    assert not list((tmp_path / "work").glob(".*"))


@pytest.mark.slow
def test_resumed_sharded_run_is_the_same(tmp_path):
    """But for the rounding of sums over ranks."""
    two = ["--cfg-options", "train_cfg.max_epochs=2"]
    code, output = train(tmp_path, "once", *two)
    assert code == 0, output
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "once/epoch_1.pth", tmp_path / "parts")
    code, output = train(tmp_path, "parts", "--resume", *two)
    assert code == 0, output
    assert "Resuming run" in output
    once, parts = (
        torch.load(tmp_path / f"{name}/epoch_2.pth", weights_only=False)
        for name in ("once", "parts")
    )
    torch.testing.assert_close(parts["state_dict"], once["state_dict"])
    torch.testing.assert_close(parts["optimizer"]["state"], once["optimizer"]["state"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("strategy.state_dict_cfg=local", 'set strategy.state_dict_cfg="full"'),
        ("strategy.type=DeepSpeedStrategy", "DeepSpeedStrategy needs a GPU"),
    ],
)
def test_what_cannot_be_resumed_from_is_refused(tmp_path, option, message):
    code, output = train(tmp_path, "work", "--cfg-options", option)
    assert code != 0
    assert message in output
