"""Two real gloo processes against one."""

import pytest
import torch
from helpers.ranks import train_on_two_ranks
from helpers.training import make_config, train

# Even batches; a last one of 2 + 1 on two ranks; updates every other step.
CASES = {
    "even": dict(),
    "uneven": {"batch": 4, "videos": 7, "train_cfg.max_epochs": 5},
    "accumulated": {"optim_wrapper.accumulative_counts": 2},
}


@pytest.mark.parametrize(
    "case",
    ["uneven", *(pytest.param(case, marks=pytest.mark.slow) for case in ("even", "accumulated"))],
)
def test_same_losses_and_queues_as_one_process(case, shapes, tmp_path):
    """In float64, where what differs after ten steps is the mathematics and not the rounding."""
    options = {
        "sync_bn": "torch",
        "default_hooks.checkpoint.interval_iters": 5,
        "optim_wrapper.optimizer": dict(type="SGD", lr=0.001, momentum=0.9, _delete_=True),
        "train_cfg.max_epochs": 4,
        "train_dataloader.drop_last": False,
        **CASES[case],
    }
    batch, videos = options.pop("batch", 2), options.pop("videos", 10)
    lines = (shapes / "train.txt").read_text().splitlines()[:videos]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    options["train_dataloader.dataset.ann_file"] = str(tmp_path / "list.txt")
    two = {**options, "train_dataloader.batch_size": batch // 2, "shapes": str(shapes)}
    ranks = train_on_two_ranks({**two, "work_dir": str(tmp_path / "two")}, tmp_path)

    options["train_dataloader.batch_size"] = batch
    cfg = make_config(shapes, tmp_path / "one", options)
    steps, state = train(cfg, dtype=torch.float64)
    assert len(steps) == (10 if case == "uneven" else 20)
    for index, (loss, files) in enumerate(steps):
        parts = [rank["steps"][index] for rank in ranks]
        assert [file for _, part in parts for file in part] == files
        assert abs(parts[0][0] - loss) < 1e-9 * max(1, loss), index
    for rank in ranks:
        for key, value in state.items():
            exact = key.startswith("queues") and not key.endswith("keys")
            tolerance = dict(rtol=0, atol=0) if exact else dict(rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(rank["state"][key], value, **tolerance, msg=key)


def test_workers_make_no_difference(config, tmp_path):
    """Every sample has random choices of its own, the same in whichever process."""
    runs = [
        train(
            config(
                tmp_path / str(workers),
                **{
                    "train_dataloader.num_workers": workers,
                    "train_dataloader.persistent_workers": workers > 0,
                },
            )
        )[0]
        for workers in (0, 2)
    ]
    assert runs[0] == runs[1]
