import json

import pytest
import torch
from mmengine.runner import Runner

import cmac_mm
from cmac_mm.engine.hooks import RetrievalMonitorHook
from cmac_mm.features import extract_features
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import fixed_random_state

HOOK = dict(type="RetrievalMonitorHook", num_gallery=10, num_query=6, ks=(1, 2), num_workers=0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=12, num_test=8, num_bad=2, seed=0, workers=1)
    return folder


def train(shapes, work_dir, hooks):
    """Two epochs of three steps on real videos; returns the runner and what it logged."""
    torch.set_num_threads(1)
    cfg = cmac_mm.load_config("cmac_mm::demo/cmac_sounding-shapes.py")
    for part in ("train", "test"):
        loader = cfg[f"{part}_dataloader"]
        loader.update(batch_size=4, num_workers=0)
        loader.pop("persistent_workers", None)
        loader.dataset.update(ann_file=f"{shapes}/{part}.txt", data_prefix=dict(video=str(shapes)))
    # The monitor's pipeline draws at random, too: that must not reach training.
    cfg.test_dataloader.dataset.pipeline[1].mode = "random"
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.logger.interval = 1
    cfg.custom_hooks = [*cfg.custom_hooks[:2], *hooks]
    cfg.randomness = dict(seed=1)
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    lines = next(work_dir.glob("*/vis_data/scalars.json")).read_text().splitlines()
    return runner, [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def runs(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return train(shapes, folder / "plain", []), train(shapes, folder / "watched", [HOOK])


def test_training_is_the_same_with_and_without(runs):
    (plain, plain_log), (watched, watched_log) = runs
    steps = [line for line in watched_log if "loss" in line]
    assert len(steps) == len(plain_log) >= 6
    for ours, theirs in zip(steps, plain_log, strict=True):
        keys = {key for key in ours if "loss" in key or "top1" in key or "grad" in key}
        assert keys
        assert {key: ours[key] for key in keys} == {key: theirs[key] for key in keys}
    state = plain.model.state_dict()
    for name, value in watched.model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert all(module.training for module in watched.model.modules())


def test_logs_both_modalities_and_chance(runs):
    _, (runner, log) = runs
    looks = [line for line in log if "loss" not in line]
    assert [look["epoch"] for look in looks] == [1, 2]
    assert [look["step"] for look in looks] == [3, 6]
    names = {f"monitor/{x}_R@{k}" for x in ("visual", "audio", "chance") for k in (1, 2)}
    for look in looks:
        assert names <= look.keys()
        assert all(0 <= look[name] <= 1 for name in names)
    assert runner.message_hub.get_scalar("monitor/visual_R@1").current() == pytest.approx(
        looks[-1]["monitor/visual_R@1"]
    )


def test_is_what_a_loop_over_the_same_videos_gives(runs):
    _, (runner, log) = runs
    hook = next(hook for hook in runner.hooks if isinstance(hook, RetrievalMonitorHook))
    with fixed_random_state(0):
        gallery, query = (
            extract_features(runner.model, hook._loader(runner, name), progress=False)
            for name in ("gallery", "query")
        )
    assert (len(query["label"]), len(gallery["label"]) <= 10) == (6, True)
    for modality in ("visual", "audio"):
        key = f"{modality}_feature"
        hits = 0
        for feature, label in zip(query[key], query["label"], strict=True):
            similarity = torch.cosine_similarity(feature[None].double(), gallery[key].double())
            hits += int(gallery["label"][similarity.argmax()] == label)
        assert log[-1][f"monitor/{modality}_R@1"] == pytest.approx(hits / 6)


def test_unlabelled_lists_and_bad_numbers_are_refused(runs, shapes, tmp_path):
    _, (runner, _) = runs
    unlabelled = tmp_path / "list.txt"
    unlabelled.write_text("".join(f"{p}\n" for p in sorted(shapes.glob("videos/test/*.mp4"))[:3]))
    query = dict(runner.cfg.test_dataloader.dataset, ann_file=str(unlabelled))
    hook = RetrievalMonitorHook(query=query, num_gallery=4, ks=(1,), num_workers=0)
    with pytest.raises(ValueError, match="the query list has no labels"):
        hook.after_train_epoch(runner)
    with pytest.raises(ValueError, match="interval must be at least 1, got 0"):
        RetrievalMonitorHook(interval=0)
    with pytest.raises(ValueError, match=r"num_gallery must be .* \(1, 5\): 3"):
        RetrievalMonitorHook(num_gallery=3)
