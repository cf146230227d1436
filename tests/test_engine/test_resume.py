import pytest
import torch
from helpers.training import assert_same, train

from cmac_mm.utils import latest_checkpoint


@pytest.mark.parametrize("options", [{}, {"optim_wrapper.accumulative_counts": 2}])
def test_resumed_run_is_the_same_to_the_last_bit(config, whole_run, tmp_path, options):
    """Interrupted inside an epoch, at its end, and inside a resumed run."""
    if options:
        losses, state = train(config(tmp_path / "at once", **options))
    else:
        _, losses, state = whole_run
    assert len(losses) == 10
    cfg = config(tmp_path / "in parts", **options)
    done = 0
    for stop in (2, 5, 8):
        part, _ = train(cfg, stop_after=stop, resume=done > 0)
        start = stop - len(part)
        assert part == losses[start:stop]
        done = stop
    assert (tmp_path / "in parts/epoch_1.pth").is_file()
    rest, resumed = train(cfg, resume=True)
    assert rest == losses[10 - len(rest) :]
    assert_same(state, resumed)


@pytest.mark.parametrize(
    "method", ["cmac", pytest.param("avid-cma", marks=pytest.mark.slow), "xdc"]
)
def test_short_epochs_resumed_are_the_same_to_the_last_bit(config, tmp_path, method):
    """Epochs of 6 of 10 videos: stopped inside one that begins a second pass over the list."""
    options = {"method": method, "train_dataloader.sampler.samples_per_epoch": 6}
    losses, state = train(config(tmp_path / "at once", **options))
    cfg = config(tmp_path / "in parts", **options)
    part, _ = train(cfg, stop_after=4)
    rest, resumed = train(cfg, resume=True)
    assert len(losses) == 6 and part + rest == losses
    assert_same(state, resumed)


def test_resume_does_not_load_what_is_done(config, tmp_path):
    cfg = config(tmp_path)
    train(cfg, stop_after=4)
    part, _ = train(cfg, resume=True)
    assert len(part) == 6
    first = torch.load(tmp_path / "iter_9.pth", weights_only=False)["meta"]["position"]
    assert first == dict(epoch=1, samples_done=8)


def test_latest_checkpoint_is_the_newest_that_is_whole(config, tmp_path):
    train(config(tmp_path), stop_after=7)
    assert latest_checkpoint(tmp_path).endswith("iter_7.pth")
    newest, before = tmp_path / "iter_7.pth", tmp_path / "iter_6.pth"
    assert not (tmp_path / "iter_5.pth").exists()
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2])
    (tmp_path / "last_checkpoint").write_text("")
    assert latest_checkpoint(tmp_path) == str(before)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1  # only the check sum tells
    newest.write_bytes(flipped)
    assert latest_checkpoint(tmp_path) == str(before)
    before.write_bytes(b"")
    assert latest_checkpoint(tmp_path) == str(tmp_path / "epoch_1.pth")
    (tmp_path / "epoch_1.pth").write_bytes(b"x")
    with pytest.raises(RuntimeError, match="all 3 checkpoints"):
        latest_checkpoint(tmp_path)
    assert latest_checkpoint(tmp_path / "vis_data") is None


def test_leftovers_of_a_killed_run_are_removed(config, tmp_path):
    (tmp_path / ".iter_3.pth.part").write_bytes(b"half")
    train(config(tmp_path), stop_after=1)
    assert not list(tmp_path.glob(".*"))


def test_other_batch_size_goes_on_with_the_next_sample(config, tmp_path):
    losses, _ = train(config(tmp_path), stop_after=3)
    cfg = config(tmp_path, **{"train_dataloader.batch_size": 3})
    rest, _ = train(cfg, resume=True)
    seen = [file for _, files in losses for file in files]
    assert len(seen) == 6
    seen += [file for _, files in rest[:1] for file in files]
    assert len(rest) == 1 + 3
    assert len(set(seen)) >= 8  # one of ten is unusable and replaced


def test_another_list_is_refused(config, shapes, tmp_path):
    """A video less, one more, two in each other's place; other labels are no other list."""
    lines = (shapes / "train.txt").read_text().splitlines()
    ann_file = tmp_path / "list.txt"
    cfg = config(tmp_path / "run", **{"train_dataloader.dataset.ann_file": str(ann_file)})
    ann_file.write_text("\n".join(lines))
    train(cfg, stop_after=1)
    for changed in (lines[:-1], [*lines, "new.mp4 0"], [lines[1], lines[0], *lines[2:]]):
        ann_file.write_text("\n".join(changed))
        expected = rf"another list .*11 videos, this list has {len(changed)}.*load_from=CHECKPOINT"
        with pytest.raises(RuntimeError, match=expected):
            train(cfg, resume=True)
    ann_file.write_text("\n".join(f"{line.split()[0]} 0" for line in lines))
    part, _ = train(cfg, stop_after=2, resume=True)
    assert len(part) == 1


def test_a_new_run_may_start_from_weights_of_another_list(config, shapes, tmp_path):
    train(config(tmp_path / "first"), stop_after=1)
    ann_file = tmp_path / "list.txt"
    ann_file.write_text("\n".join((shapes / "train.txt").read_text().splitlines()[::-1]))
    options = {
        "train_dataloader.dataset.ann_file": str(ann_file),
        "load_from": str(tmp_path / "first/iter_1.pth"),
    }
    part, _ = train(config(tmp_path / "second", **options), stop_after=1)
    assert len(part) == 1
