"""Deep clustering in real training runs: rounds, labels, what is killed and resumed, two ranks."""

import json
import time

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import end, kill, start_tool
from helpers.ranks import train_on_two_ranks
from helpers.training import assert_same, make_config, train
from mmengine.runner import Runner

from cmac_mm.engine.hooks import clustering_hook
from cmac_mm.evaluation.functional.clustering_quality import normalized_mutual_information
from cmac_mm.features import list_files as feature_files
from cmac_mm.mining import FeatureSource, cluster
from cmac_mm.models import DeepClustering

STATE = ("round", "labels_visual", "labels_audio", "centroids_visual", "centroids_audio")


@pytest.fixture
def clustering_config(config):
    def make(work_dir, **options):
        return config(work_dir, **{"method": "xdc", **options})

    return make


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    """An uninterrupted run of two rounds of an epoch: its folder, losses and final state."""
    folder = tmp_path_factory.mktemp("whole")
    steps, state = train(make_config(shapes, folder, {"method": "xdc"}))
    return folder, steps, state


def record(folder, number):
    with np.load(folder / f"clustering/round_{number:02d}.npz", allow_pickle=False) as file:
        return dict(file)


def bad_row(shapes):
    lines = (shapes / "train.txt").read_text().splitlines()
    bad = (shapes / "bad_files.txt").read_text().split()[0]
    return next(row for row, line in enumerate(lines) if line.split()[0] == bad)


def test_rounds_are_recorded_and_in_the_checkpoint(whole, shapes):
    folder, steps, state = whole
    assert len(steps) == 10 and set(STATE) <= state.keys()
    assert int(state["round"]) == 1
    for number in (0, 1):
        parts = record(folder, number)
        assert parts.keys() == {
            f"{source}_{what}"
            for source in ("visual", "audio")
            for what in ("labels", "distances", "centroids")
        }
        checkpoint = torch.load(folder / f"epoch_{number + 1}.pth", weights_only=False)
        stored = checkpoint["state_dict"]
        assert int(stored["round"]) == number
        for source, channels in (("visual", 32), ("audio", 64)):
            labels = parts[f"{source}_labels"]
            assert labels.dtype == np.int32 and labels.shape == (11,)
            assert parts[f"{source}_distances"].dtype == np.float32
            assert parts[f"{source}_centroids"].shape == (3, channels)
            assert parts[f"{source}_centroids"].dtype == np.float32
            assert np.flatnonzero(labels == -1).tolist() == [bad_row(shapes)]
            assert np.isnan(parts[f"{source}_distances"]).tolist() == (labels == -1).tolist()
            assert set(labels) == {-1, 0, 1, 2}  # no cluster is empty
            assert torch.equal(stored[f"labels_{source}"], torch.from_numpy(labels))
            assert torch.equal(
                stored[f"centroids_{source}"], torch.from_numpy(parts[f"{source}_centroids"])
            )
    assert list(folder.rglob("*.part")) == []


def test_clusters_are_those_of_the_features(whole, shapes):
    """The last round's files are still there: clustered again, with the last log line's scores."""
    folder, _, _ = whole
    parts = record(folder, 1)
    good = np.delete(np.arange(11), bad_row(shapes))
    lines = [
        json.loads(line)
        for line in next(folder.glob("*/vis_data/scalars.json")).read_text().splitlines()
    ]
    looks = [line for line in lines if "clustering/round" in line]
    assert [(look["epoch"], look["step"]) for look in looks] == [(0, 0), (1, 5)]
    truth = [int(x.split()[1]) for x in (shapes / "train.txt").read_text().splitlines()]
    for index, source in enumerate(("audio", "visual")):
        features = np.load(folder / f"clustering/features/{source}_feature.npy")
        assert not features[bad_row(shapes)].any()
        found = cluster(
            FeatureSource([features], good, normalize=True),
            3,
            seed=clustering_hook._mix(5, 1, index),
        )
        labels = parts[f"{source}_labels"]
        assert (labels[good] == found.labels).all()
        units = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        for row in good:
            distances = np.linalg.norm(units[row] - parts[f"{source}_centroids"], axis=1)
            assert distances.argmin() == labels[row]
            assert parts[f"{source}_distances"][row] == pytest.approx(distances.min(), abs=1e-4)
        for name, other in (
            ("labels", np.array(truth)),
            ("previous", record(folder, 0)[f"{source}_labels"]),
        ):
            assert looks[1][f"clustering/{source}_nmi_{name}"] == pytest.approx(
                normalized_mutual_information(labels, other)
            )
        sizes = np.bincount(labels[good])
        assert looks[1][f"clustering/{source}_smallest"] == sizes.min()
        assert looks[1][f"clustering/{source}_largest"] == sizes.max()
        assert f"clustering/{source}_nmi_previous" not in looks[0]


def check_labels(folder, num_ranks, rounds=(0, 1)):
    """What each classification layer was given are the clusters of the step's own round."""
    ranks = [json.loads((folder / f"labels{rank}.json").read_text()) for rank in range(num_ranks)]
    bad = np.flatnonzero(record(folder, 0)["audio_labels"] == -1).tolist()
    for number in rounds:
        parts, drawn = record(folder, number), []
        for steps in ranks:
            of_round = [step for step in steps if step["epoch"] == number]
            assert of_round
            for step in of_round:
                drawn += step["rows"]
                for encoder, source in (("visual", "audio"), ("audio", "visual")):
                    expected = parts[f"{source}_labels"][step["rows"]].tolist()
                    assert step[f"{encoder}_by_{source}"] == expected
        assert not set(bad) & set(drawn)
        yield number, drawn


def test_labels_are_the_current_rounds(whole):
    folder, _, _ = whole
    assert any(
        (record(folder, 0)[key] != record(folder, 1)[key]).any()
        for key in ("visual_labels", "audio_labels")
    )
    for _, drawn in check_labels(folder, 1):
        assert len(drawn) == 10


def test_resumed_inside_a_round_goes_on_with_its_clusters(
    clustering_config, whole, tmp_path, monkeypatch
):
    """To the last bit, and only at the rounds' beginnings is anything clustered."""
    _, losses, state = whole
    rounds = []
    begin = DeepClustering.begin_round

    def noted(self, number, *args):
        rounds.append(number)
        return begin(self, number, *args)

    monkeypatch.setattr(DeepClustering, "begin_round", noted)
    cfg = clustering_config(tmp_path)
    done = 0
    for stop, begun in ((2, [0]), (4, []), (5, [1]), (8, [1])):
        part, _ = train(cfg, stop_after=stop, resume=done > 0)
        start = stop - len(part)
        assert part == losses[start:stop]
        assert rounds == begun, stop
        rounds.clear()
        done = stop
    rest, resumed = train(cfg, resume=True)
    assert rounds == []
    assert rest == losses[10 - len(rest) :]
    assert_same(state, resumed)


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("features", 1),
        ("clusters", 0),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("features", 0), ("clusters", 1), ("record", 0), ("record", 1))
        ),
    ],
)
def test_killed_between_epochs_ends_the_same(
    clustering_config, whole, tmp_path, monkeypatch, number, where
):
    """While features are extracted, while they are clustered, and before the heads are new."""
    _, losses, state = whole
    monkeypatch.setattr(feature_files, "_FLUSH_SECONDS", 0)
    cfg, batches = clustering_config(tmp_path), []
    predict = DeepClustering.predict

    def counted(self, *args):
        if where == "features" and len(batches) == 3 * number + 2:
            raise InterruptedError
        batches.append(args)
        return predict(self, *args)

    calls = []

    def stopping(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2 * number + 2:  # the second source of the round
            raise InterruptedError
        return cluster(*args, **kwargs)

    def no_record(path, content):
        if path.name == f"round_{number:02d}.npz":
            raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(DeepClustering, "predict", counted)
        if where == "clusters":
            patch.setattr(clustering_hook, "cluster", stopping)
        if where == "record":
            patch.setattr(clustering_hook, "_save", no_record)
        part, nothing = train(cfg)
    assert nothing is None and part == losses[: 5 * number]
    status = np.load(tmp_path / "clustering/features/status.npy")
    assert np.count_nonzero(status) == (8 if where == "features" else 11)
    batches.clear()
    monkeypatch.setattr(DeepClustering, "predict", lambda *a: batches.append(a) or predict(*a))
    rest, resumed = train(cfg, resume=True)
    rounds_left = 2 - number
    assert len(batches) == 3 * rounds_left - (2 if where == "features" else 3)
    assert rest == losses[5 * number :]
    assert_same(state, resumed)
    for n in range(number, 2):
        for key, value in record(whole[0], n).items():
            np.testing.assert_array_equal(value, record(tmp_path, n)[key])


@pytest.mark.slow
def test_new_run_in_an_old_folder_makes_its_own_features(clustering_config, whole, tmp_path):
    """Another seed: other weights, so nothing of the old run's features may serve."""
    cfg = clustering_config(tmp_path, **{"train_cfg.max_epochs": 1, "randomness.seed": 6})
    train(cfg)
    cfg = clustering_config(tmp_path)
    with pytest.raises(ValueError, match=r"clustering/round_00\.npz of run .* move"):
        train(cfg)
    for path in [*tmp_path.glob("*.pth"), *tmp_path.glob("clustering/*.npz")]:
        path.unlink()
    steps, state = train(cfg)
    assert steps == whole[1]
    assert_same(state, whole[2])


def test_clustering_is_not_timed_as_loading(clustering_config, tmp_path):
    """The timer starts with an epoch; what other hooks do after it is in `data_time` and `eta`."""
    hooks = [type(hook).__name__ for hook in Runner.from_cfg(clustering_config(tmp_path)).hooks]
    assert hooks.index("ClusteringHook") < hooks.index("IterTimerHook")


def test_optimiser_forgets_the_heads(clustering_config, tmp_path, monkeypatch):
    seen = {}
    begin = clustering_hook.ClusteringHook._begin_round

    def noted(self, runner, model, number):
        state = runner.optim_wrapper.optimizer.state
        before = [p in state for p in model.head.parameters()]
        begin(self, runner, model, number)
        after = [p in state for p in model.parameters()]
        heads = [p in state for p in model.head.parameters()]
        seen[number] = (all(before), sum(after), any(heads))

    monkeypatch.setattr(clustering_hook.ClusteringHook, "_begin_round", noted)
    train(clustering_config(tmp_path), stop_after=6)
    assert seen[0] == (False, 0, False)
    assert seen[1][0] and seen[1][1] > 20 and not seen[1][2]


def test_rounds_of_several_epochs_and_their_end(clustering_config, tmp_path, shapes):
    """Two rounds of two epochs, then one epoch more; last, a run on the last round's clusters."""
    cfg = clustering_config(tmp_path / "a", **{"train_cfg.max_epochs": 5})
    for hook in cfg.custom_hooks:
        if hook.type == "ClusteringHook":
            hook.update(epochs_per_round=2, num_rounds=2)
    _, state = train(cfg)
    assert sorted(p.name for p in (tmp_path / "a/clustering").glob("*.npz")) == [
        "round_00.npz",
        "round_01.npz",
    ]
    cfg = clustering_config(
        tmp_path / "b",
        **{"load_from": str(tmp_path / "a/epoch_5.pth"), "train_cfg.max_epochs": 1},
    )
    hook = next(hook for hook in cfg.custom_hooks if hook.type == "ClusteringHook")
    hook.num_rounds = 0
    _, last = train(cfg)
    for key in STATE:
        assert torch.equal(state[key], last[key])
    assert not (tmp_path / "b/clustering").exists()
    # One encoder may begin anew on them; a rate of 0 shows what it begins with.
    cfg.optim_wrapper.optimizer = dict(type="SGD", lr=0.0)
    cfg.work_dir, hook.restart = str(tmp_path / "anew"), ["visual"]
    _, anew = train(cfg)
    for key in (key for key in state if key.endswith("_backbone.conv1.0.weight")):
        assert torch.equal(anew[key], state[key]) == key.startswith("audio"), key
    weights = [key for key in state if "visual_backbone" in key and key.endswith("conv1.weight")]
    assert weights and all(not torch.equal(anew[key], state[key]) for key in weights)
    assert all(torch.equal(state[key], anew[key]) for key in STATE)
    hook.pop("restart")
    hook.num_rounds = None  # a run of its own, from the weights alone
    cfg.work_dir = str(tmp_path / "c")
    _, own = train(cfg)
    assert int(own["round"]) == 0
    cfg.load_from = None
    cfg.work_dir = str(tmp_path / "d")
    hook.num_rounds = 0
    with pytest.raises(ValueError, match="set load_from to one of a run of DeepClustering"):
        train(cfg)


def test_another_list_or_part_of_one_is_refused(clustering_config, shapes, tmp_path):
    lines = (shapes / "train.txt").read_text().splitlines()
    ann_file = tmp_path / "list.txt"
    options = {"train_dataloader.dataset.ann_file": str(ann_file)}
    cfg = clustering_config(tmp_path / "run", **options)
    ann_file.write_text("\n".join(lines))
    train(cfg, stop_after=1)
    ann_file.write_text("\n".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(RuntimeError, match="another list of training videos"):
        train(cfg, resume=True)
    options["train_dataloader.dataset.indices"] = 5
    with pytest.raises(ValueError, match=r"training list as a whole: it has 11 rows, .* 5"):
        train(clustering_config(tmp_path / "part", **options))


@pytest.mark.parametrize("method", [pytest.param("mdc", marks=pytest.mark.slow), "xdc"])
def test_two_ranks_are_as_one_process(method, shapes, tmp_path):
    """Clusters, losses and the videos of each step; with workers that live on between epochs.

    In float64, where what differs is the mathematics and not the rounding.
    """
    options = {
        "method": method,
        "sync_bn": "torch",
        "optim_wrapper.optimizer": dict(type="SGD", lr=0.001, momentum=0.9, _delete_=True),
        "train_dataloader.drop_last": False,
        "train_dataloader.num_workers": 1,
        "train_dataloader.persistent_workers": True,
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
    for number in (0, 1):
        one, both = (record(tmp_path / name, number) for name in ("one", "two"))
        for key, value in one.items():
            np.testing.assert_allclose(both[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
    for rank in ranks:
        for key in (*STATE, *(key for key in state if key.startswith("head."))):
            torch.testing.assert_close(rank["state"][key], state[key], rtol=1e-6, atol=1e-9)
    if method == "xdc":
        for _, drawn in check_labels(tmp_path / "two", 2):
            assert len(drawn) == 11


def test_bad_arguments_are_refused(clustering_config, config, tmp_path):
    for wrong, message in (
        (dict(epochs_per_round=0), "epochs_per_round must be at least 1, got 0"),
        (dict(num_rounds=-1), "num_rounds must be at least 0, got -1"),
        (dict(num_workers=-1), "num_workers must be at least 0, got -1"),
    ):
        hooks = [dict(type="ClusteringHook", **wrong)]
        with pytest.raises(ValueError, match=message):
            Runner.from_cfg(clustering_config(tmp_path, custom_hooks=hooks))
    hooks = [dict(type="ClusteringHook")]
    with pytest.raises(ValueError, match=r"needs the model DeepClustering, found CMAC"):
        train(config(tmp_path, custom_hooks=hooks))
    with pytest.raises(ValueError, match="num_clusters"):
        train(clustering_config(tmp_path, **{"model.head.num_clusters": 12}))
    with pytest.raises(RuntimeError, match="knows no clusters yet"):
        train(clustering_config(tmp_path, custom_hooks=[]))


CONFIG = """
_base_ = ["cmac_mm::demo/xdc_sounding-shapes.py"]
model = dict(head=dict(num_clusters=3))
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(ann_file="{ann_file}", data_prefix=dict(video="{shapes}")),
)
train_cfg = dict(max_epochs=2)
custom_hooks = [
    dict(type="BadSampleHook"),
    dict(
        type="ClusteringHook",
        batch_size=4,
        pipeline=_base_.custom_hooks[-1].pipeline,
    ),
]
"""


def start(config, work_dir, *options):
    args = [config, "--seed", "3", "--work-dir", work_dir, *options]
    return start_tool("train.py", *args, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_9_while_features_are_extracted(shapes, tmp_path):
    """In both rounds, with workers; what was done is kept, and the end is the same."""
    lines = (shapes / "train.txt").read_text().splitlines()
    (tmp_path / "list.txt").write_text("\n".join(lines * 20))
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(shapes=shapes, ann_file=tmp_path / "list.txt"))
    code, output = end(start(str(config), tmp_path / "at once"))
    assert code == 0, output[-3000:]
    work_dir = tmp_path / "killed"
    status = work_dir / "clustering/features/status.npy"
    for number in (0, 1):
        key = work_dir / "clustering/features/key.json"
        process = start(str(config), work_dir, "--resume")
        while process.poll() is None:
            if key.exists() and json.loads(key.read_text())["round"] == number:
                done = np.count_nonzero(np.load(status))
                if 0 < done < 220:
                    break
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[0][-3000:]
        kill(process)
        assert 0 < np.count_nonzero(np.load(status)) < 220
        assert (work_dir / "epoch_1.pth").exists() == (number == 1)
    code, output = end(start(str(config), work_dir, "--resume"))
    assert code == 0, output[-3000:]
    first, second = (
        torch.load(folder / "epoch_2.pth", weights_only=False)["state_dict"]
        for folder in (tmp_path / "at once", work_dir)
    )
    assert_same(first, second)


def test_features_are_extracted_in_the_precision_of_training(
    clustering_config, tmp_path, monkeypatch
):
    extract, seen = clustering_hook.extract_to_files, []

    def look(*args):
        seen.append(torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu"))
        return extract(*args)

    monkeypatch.setattr(clustering_hook, "extract_to_files", look)
    for kind in ("OptimWrapper", "BFloat16OptimWrapper"):
        options = {"optim_wrapper.type": kind}
        train(clustering_config(tmp_path / kind, **options), stop_after=0)
    assert seen == [False, torch.bfloat16]
