"""AVID and CMA in real training runs: banks, positives, Z and the list they belong to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.ranks import train_on_two_ranks
from helpers.training import assert_same, make_config, train

from cmac_mm.apis import inference, init_model
from cmac_mm.datasets import MediaError
from cmac_mm.features import ListLoader, calibrate_batch_norm

STATE = (
    "banks.visual.entries",
    "banks.audio.entries",
    "positives",
    "head.loss_nce.z",
    "list_digest",
)


@pytest.fixture
def cma_config(config):
    def make(work_dir, **options):
        return config(work_dir, method="avid-cma", **options)

    return make


def test_resumed_run_is_the_same_to_the_last_bit(cma_config, tmp_path):
    """Interrupted in the first epoch, in the second after positives were mined, and between."""
    losses, state = train(cma_config(tmp_path / "at once"))
    assert len(losses) == 10 and set(STATE) <= state.keys()
    assert state["positives"].shape == (11, 2)
    # Nobody is compared with what never came: one video is broken.
    came = state["left_out"] < 0
    assert torch.equal(came, state["visited"] > 0) and came.sum() == 10
    assert (state["positives"][came] >= 0).any() and (state["positives"][~came] == -1).all()
    assert not torch.isin(state["positives"], (~came).nonzero()).any()
    assert state["list_digest"].any() and state["head.loss_nce.z"] > 0
    cfg = cma_config(tmp_path / "in parts")
    done = 0
    for stop in (2, 5, 8):
        part, _ = train(cfg, stop_after=stop, resume=done > 0)
        start = stop - len(part)
        assert part == losses[start:stop]
        mined = torch.load(tmp_path / f"in parts/iter_{stop}.pth", weights_only=False)
        assert (mined["state_dict"]["positives"] >= 0).any() == (stop > 5)
        done = stop
    rest, resumed = train(cfg, resume=True)
    assert rest == losses[10 - len(rest) :]
    assert_same(state, resumed)


@pytest.mark.slow
def test_two_ranks_are_as_one_process(shapes, tmp_path):
    """In float64, where what differs is the mathematics and not the rounding; and without batch
    norm over the three embeddings of the last batch, in which even that grows to 1e-7."""
    options = {
        "method": "avid-cma",
        "sync_bn": "torch",
        "custom_hooks.7.fill": False,  # synchronised, the running variances before are of n - 1 / 2
        "model.head.projection_norm": False,
        "optim_wrapper.optimizer": dict(type="SGD", lr=0.001, momentum=0.9, _delete_=True),
        "train_dataloader.drop_last": False,
        "train_dataloader.batch_size": 2,
    }
    two = {**options, "shapes": str(shapes), "work_dir": str(tmp_path / "two")}
    ranks = train_on_two_ranks(two, tmp_path)
    options["train_dataloader.batch_size"] = 4
    steps, state = train(make_config(shapes, tmp_path / "one", options), dtype=torch.float64)
    assert len(steps) == 6  # 11 videos: 4, 4, 2 + 1
    for index, (loss, files) in enumerate(steps):
        parts = [rank["steps"][index] for rank in ranks]
        assert [file for _, part in parts for file in part] == files
        assert abs(parts[0][0] - loss) < 1e-9 * max(1, loss), index
    for key in STATE:
        for rank in ranks:
            torch.testing.assert_close(rank["state"][key], state[key], rtol=1e-6, atol=1e-9)
        assert torch.equal(ranks[0]["state"][key], ranks[1]["state"][key]), key


def test_several_clips_a_video_move_one_row(cma_config, tmp_path):
    cfg = cma_config(tmp_path, **{"train_dataloader.sampler.repeats": 3})
    losses, state = train(cfg)
    assert len(losses) == 2 * (33 // 2)
    assert len(state["banks.visual.entries"]) == 11


def test_banks_are_filled_before_the_first_step(cma_config, tmp_path):
    """With what the untrained networks make of each video; a broken one keeps its random row."""
    lr = {"optim_wrapper.optimizer.lr": 0.0, "optim_wrapper.optimizer.weight_decay": 0.0}
    lr |= {"model.bank_momentum": 1.0}  # nothing moves but batch norm's statistics
    states = {}
    for fill in (False, True):
        cfg = cma_config(tmp_path / str(fill), **lr)
        for hook in cfg.custom_hooks:
            if hook.type == "MemoryBankHook":
                hook.update(fill=fill, batch_size=3)
        train(cfg, stop_after=1)
        checkpoint = torch.load(tmp_path / f"{fill}/iter_1.pth", weights_only=False)
        states[fill] = checkpoint["state_dict"]
    model = init_model(cfg, str(tmp_path / "True/iter_1.pth"), "cpu")
    training = {key: cfg.train_dataloader.dataset[key] for key in ("ann_file", "data_prefix")}
    loader = ListLoader({**cfg.test_dataloader.dataset, **training}, 3, 0)
    parts = [part for _, _, part in loader.load(np.arange(11)) if part]
    calibrate_batch_norm(model, [part for part in parts if len(part["data_samples"]) > 1])
    names = [
        line.split()[0]
        for line in Path(cfg.train_dataloader.dataset.ann_file).read_text().splitlines()
    ]
    root = Path(cfg.train_dataloader.dataset.data_prefix["video"])
    kept = 0
    for row, name in enumerate(names):
        random, filled = (
            torch.stack([states[fill][f"banks.{m}.entries"][row] for m in ("visual", "audio")])
            for fill in (False, True)
        )
        try:
            sample = inference(model, root / name)
        except MediaError:
            torch.testing.assert_close(filled, random)
            kept += 1
            continue
        expected = torch.stack([sample.visual_embedding, sample.audio_embedding])
        torch.testing.assert_close(filled, expected, rtol=0, atol=1e-5)
        assert (filled - random).abs().max() > 0.01
    assert kept == 1


def test_another_list_is_refused(cma_config, shapes, tmp_path):
    """A video less, one more, two in each other's place; other labels are no other list."""
    lines = (shapes / "train.txt").read_text().splitlines()
    ann_file = tmp_path / "list.txt"
    cfg = cma_config(tmp_path / "run", **{"train_dataloader.dataset.ann_file": str(ann_file)})
    ann_file.write_text("\n".join(lines))
    train(cfg, stop_after=1)
    for changed in (lines[:-1], [*lines, "new.mp4 0"], [lines[1], lines[0], *lines[2:]]):
        ann_file.write_text("\n".join(changed))
        with pytest.raises(RuntimeError, match="another list of training videos"):
            train(cfg, resume=True)
    ann_file.write_text("\n".join(f"{line.split()[0]} 0" for line in lines))
    part, _ = train(cfg, stop_after=2, resume=True)
    assert len(part) == 1


def test_cma_starts_from_the_banks_of_avid(cma_config, tmp_path):
    """First AVID for an epoch, then CMA from its checkpoint: weights, banks and Z go along."""
    plain = {"model.num_positives": 0, "train_cfg.max_epochs": 1}
    cfg = cma_config(tmp_path / "avid", **plain)
    cfg.custom_hooks = [h for h in cfg.custom_hooks if h.type != "CrossModalAgreementHook"]
    _, avid = train(cfg)
    assert avid["positives"].shape == (11, 0)
    cfg = cma_config(tmp_path / "cma", load_from=str(tmp_path / "avid/epoch_1.pth"))
    for hook in cfg.custom_hooks:
        if hook.type == "CrossModalAgreementHook":
            hook.start_epoch = 0
    train(cfg, stop_after=1)
    cma = torch.load(tmp_path / "cma/iter_1.pth", weights_only=False)["state_dict"]
    assert torch.equal(cma["head.loss_nce.z"], avid["head.loss_nce.z"])
    assert (cma["positives"] >= 0).all(dim=1).tolist() == (avid["left_out"] < 0).tolist()
    for name in ("visual", "audio"):
        key = f"banks.{name}.entries"
        same = (cma[key] == avid[key]).all(dim=1)
        assert same.sum() == 9  # all but the two of the step
