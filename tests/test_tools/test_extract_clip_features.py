"""tools/extract_clip_features.py on real clips, as a user runs it, and MMAction2's BMN on them."""

import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from helpers.tools_in_process import run_tool
from mmaction.registry import MODELS
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from cmac_mm.datasets import AudioVisualDataset
from cmac_mm.features import ClipStream, find_test_pipeline
from cmac_mm.utils import load_config

README = ROOT / "configs/temporal_localisation/README.md"
CONFIG = "cmac_mm::demo/cmac_sounding-shapes.py"  # thin: 64 and 128 channels, clips of 1 s
CLIPS = (
    "kinetics/bungee_jumping/zkXOcxGnUhs_000025_000035.mp4",
    "kinetics/arm_wrestling/ehLnj7pXnYE_000027_000037.mp4",
    "kinetics/bungee_jumping/dAeUFSdYG1I_000010_000020.mp4",
    "torchvision_videos/v_SoccerJuggling_g23_c01.avi",
)
run = partial(run_tool, "extract_clip_features.py")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    init_default_scope("mmaction")
    torch.manual_seed(0)
    model = MODELS.build(load_config(CONFIG).model)
    path = tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def folder(media_dir, tmp_path):
    """Real clips under names as ActivityNet has them."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for index, name in enumerate(CLIPS):
        shutil.copyfile(media_dir / name, videos / f"v_{index}{Path(name).suffix}")
    return videos


def make_video(path, seconds, rate=25):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width = stream.height = 64
        stream.codec_context.time_base = Fraction(1, rate)
        for k in range(round(seconds * rate)):
            picture = np.full((64, 64, 3), (2 * k) % 256, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def test_features_are_those_of_the_test_pipeline(checkpoint, media_dir, tmp_path):
    """A stride that divides the video evenly gives the pipeline's own uniform clips."""
    init_default_scope("mmaction")
    cfg, count = load_config(CONFIG), 7
    pipeline = find_test_pipeline(cfg)
    pipeline[1] = dict(pipeline[1], num_clips=count)
    (tmp_path / "list.txt").write_text(f"{CLIPS[1]}\n")
    dataset = AudioVisualDataset(str(tmp_path / "list.txt"), pipeline, dict(video=str(media_dir)))
    sample = default_collate([dataset[0]])
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    inputs = model.data_preprocessor(sample, False)["inputs"]
    with torch.no_grad():
        wanted = [
            backbone(inputs[key][0]).flatten(2).mean(dim=2)
            for backbone, key in (
                (model.visual_backbone, "imgs"),
                (model.audio_backbone, "audio"),
            )
        ]
    stride = sample["data_samples"][0].clip_start[1]
    command = [CONFIG, checkpoint, tmp_path / "list.txt", "--prefix", media_dir]
    command += ["--stride", stride, "--layout", "npy", "--batch-size", 3]
    name = Path(CLIPS[1]).stem
    run(*command, "--modality", "audio", "visual", "--out", tmp_path / "both", "--workers", 0)
    run(*command, "--modality", "visual", "--out", tmp_path / "visual", "--workers", 1)
    run(*command, "--modality", "audio", "--out", tmp_path / "audio", "--workers", 0)
    both, visual, audio = (
        np.load(tmp_path / which / "npy" / f"{name}.npy") for which in ("both", "visual", "audio")
    )
    assert both.dtype == np.float32 and both.shape == (count, 64 + 128)
    np.testing.assert_allclose(both, torch.cat(wanted, dim=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(visual, both[:, :64], atol=1e-5)
    # Alone, the sound begins with its own first sample, and is a little shorter than the picture.
    assert len(audio) in (count - 1, count)
    np.testing.assert_allclose(audio, both[: len(audio), 64:], atol=5e-3)
    info = json.loads((tmp_path / f"both/info/{name}.json").read_text())
    starts = np.array(sample["data_samples"][0].clip_start)
    np.testing.assert_allclose(info["times"], starts + 0.5, atol=1e-9)
    assert info["duration_frame"] == round(info["duration_second"] * info["fps"])


def test_all_files_in_order_broken_short_and_again(checkpoint, folder, tmp_path, capsys):
    make_video(folder / "v_short.mp4", 0.4)
    (folder / "v_broken.mp4").write_bytes(b"no video at all")
    whole = (folder / "v_0.mp4").read_bytes()
    (folder / "v_cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    out = tmp_path / "features"
    command = [CONFIG, checkpoint, folder, "--out", out, "--workers", 2, "--batch-size", 4]
    with pytest.raises(SystemExit) as ended:
        run(*command)
    assert "2 of 7 videos cannot be read" in str(ended.value)
    failed = (out / "failed.txt").read_text()
    assert failed.count("\n") == 2 and "v_broken.mp4: " in failed and "v_cut.mp4: " in failed
    assert failed in capsys.readouterr().err
    files = sorted(path.name for path in (out / "csv_mean_100").iterdir())
    assert files == ["v_0.csv", "v_1.csv", "v_2.csv", "v_3.csv", "v_short.csv"]
    table = json.loads((out / "videos.json").read_text())
    assert sorted(table) == [name.removesuffix(".csv") for name in files]
    for name in files:
        rows = np.loadtxt(out / "csv_mean_100" / name, delimiter=",", skiprows=1)
        assert rows.shape == (100, 64) and np.isfinite(rows).all()
        info = table[name.removesuffix(".csv")]
        assert info["stride_second"] == pytest.approx(16 / info["fps"])
        fits = (info["duration_second"] - 1) / info["stride_second"]
        assert info["num_clips"] == max(0, int(fits + 1e-6)) + 1
        # One clip: all rows are its feature.
        assert (np.ptp(rows, axis=0).max() == 0) == (info["num_clips"] == 1)
    assert table["v_short"]["num_clips"] == 1 and table["v_short"]["duration_frame"] == 10

    # The same again does only what is missing.
    first = (out / "csv_mean_100/v_0.csv").read_bytes()
    before = (out / "csv_mean_100/v_1.csv").stat().st_mtime_ns
    (out / "csv_mean_100/v_0.csv").unlink()
    (folder / "v_broken.mp4").unlink()
    (folder / "v_cut.mp4").unlink()
    run(*command)
    assert "5 videos, 4 of them done before" in capsys.readouterr().out
    assert (out / "csv_mean_100/v_0.csv").read_bytes() == first
    assert (out / "csv_mean_100/v_1.csv").stat().st_mtime_ns == before
    assert (out / "failed.txt").read_text() == ""
    # So is one that has been replaced, and what is damaged.
    shutil.copyfile(folder / "v_3.avi", folder / "v_2.mp4")
    (out / "info/v_1.json").write_text('{"times": [')
    kept = (out / "csv_mean_100/v_0.csv").stat().st_mtime_ns
    run(*command)
    printed = capsys.readouterr()
    assert "5 videos, 3 of them done before" in printed.out
    assert "computed again: v_1: " in printed.err and "info/v_1.json" in printed.err
    assert f"computed again: {folder / 'v_2.mp4'} was replaced" in printed.err
    replaced, same = (out / f"csv_mean_100/v_{i}.csv" for i in (2, 3))
    assert replaced.read_bytes() == same.read_bytes()
    assert (out / "csv_mean_100/v_0.csv").stat().st_mtime_ns == kept
    # Nothing old stays where the new one is bad.
    (folder / "v_2.mp4").write_bytes(b"no video")
    with pytest.raises(SystemExit, match="1 of 5 videos"):
        run(*command)
    assert not replaced.exists() and "v_2" not in json.loads((out / "videos.json").read_text())
    with pytest.raises(ValueError, match=r"other settings \(they differ in stride_frames\)"):
        run(*command, "--stride-frames", 8)


def test_a_long_video_is_read_in_pieces(tmp_path):
    init_default_scope("mmaction")
    make_video(tmp_path / "long.mp4", 90)
    pipeline = find_test_pipeline(load_config(CONFIG))
    stream = ClipStream([str(tmp_path / "long.mp4")], pipeline, stride=0.5, batch_size=8)
    batches = list(stream)
    sizes = [len(batch.inputs["imgs"]) for batch in batches]
    assert sum(sizes) == len(batches[0].info["times"]) == 179
    assert sizes[:-1] == [8] * 22 and [batch.last for batch in batches] == [False] * 22 + [True]
    # The picture's grey tells the frame: which clip of which piece it is.
    for index, batch in enumerate(batches):
        for clip, imgs in enumerate(batch.inputs["imgs"]):
            start = (8 * index + clip) * 0.5
            frames = np.floor((start + np.arange(8) / 8) * 25 + 1e-6)
            grey = imgs[:, :, 32, 32].float().mean(dim=0).numpy()
            assert np.abs(grey - (2 * frames) % 256).max() <= 6


def test_h5_for_gtad(checkpoint, media_dir, tmp_path):
    for index, part in enumerate(("validation", "test")):
        shutil.copyfile(media_dir / CLIPS[index], tmp_path / f"video_{part}_000005{index}.mp4")
    out = tmp_path / "out"
    command = [CONFIG, checkpoint, tmp_path, "--out", out, "--workers", 0, "--stride-frames", 30]
    run(*command, "--layout", "h5")
    table = json.loads((out / "videos.json").read_text())
    for part, name in (("val", "video_validation_0000050"), ("test", "video_test_0000051")):
        with h5py.File(out / f"rgb_{part}.h5") as rgb, h5py.File(out / f"flow_{part}.h5") as flow:
            assert list(rgb) == list(flow) == [name]
            assert rgb[name].shape == (table[name]["duration_frame"], 64)
            assert np.array_equal(rgb[name][0], np.load(out / f"npy/{name}.npy")[0])
            assert flow[name].shape == (table[name]["duration_frame"], 0)
    (tmp_path / "other.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="other: expected 'val' or 'test' in the name"):
        run(*command, "--layout", "h5")


def test_what_does_not_fit_is_refused(checkpoint, folder, tmp_path):
    command = [CONFIG, checkpoint, folder, "--out", tmp_path / "out"]
    (folder / "more").mkdir()
    shutil.copyfile(folder / "v_0.mp4", folder / "more/v_0.mp4")
    with pytest.raises(ValueError, match="would both be written as v_0"):
        run(*command)
    shutil.rmtree(folder / "more")
    with pytest.raises(RuntimeError, match=r"no key starts with 'backbone\.'"):
        run(*command, "--encoder-prefix", "backbone.")
    with pytest.raises(FileNotFoundError, match=r"checkpoint gone\.pth does not exist"):
        run(CONFIG, "gone.pth", *command[2:])
    with pytest.raises(ValueError, match=r"--out: .*v_0\.mp4 is a file, expected a folder"):
        run(*command[:-1], folder / "v_0.mp4")
    assert not (tmp_path / "out").exists()  # the next try may have other settings
    # The same video twice in a list is one video.
    (tmp_path / "twice.txt").write_text("v_0.mp4 0\r\nv_0.mp4 0\r\n")
    twice = [CONFIG, checkpoint, tmp_path / "twice.txt", "--prefix", folder, "--workers", 0]
    run(*twice, "--stride", 5, "--out", tmp_path / "out4")
    assert list(json.loads((tmp_path / "out4/videos.json").read_text())) == ["v_0"]
    config = "cmac_mm::retrieval/cmac_r2plus1d-18_32x128_ucf101.py"
    with pytest.raises(ValueError, match="expected a model with audio_backbone"):
        run(config, *command[1:-1], tmp_path / "out2", "--modality", "audio", "--stride", 1)
    with pytest.raises(ValueError, match="give it in seconds for sound"):
        run(*command[:-1], tmp_path / "out3", "--modality", "audio")


@pytest.mark.slow
def test_bmn_trains_on_the_features(checkpoint, folder, tmp_path, monkeypatch):
    """MMAction2's own config, data set, pipeline, localiser and metric, as the README says."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data/ActivityNet"
    features = data / "xdc"
    run(CONFIG, checkpoint, folder, "--out", features, "--stride-frames", 8, "--workers", 0)
    videos = json.loads((features / "videos.json").read_text())
    made_up = {
        name: dict(
            duration_second=1.1 * info["duration_second"],
            duration_frame=1000,
            feature_frame=992,
            annotations=[dict(segment=[1.0, 0.7 * info["duration_second"]], label="made up")],
        )
        for name, info in {**videos, "v_missing": dict(duration_second=3.0)}.items()
    }
    for part in ("train", "val"):
        (data / f"anet_anno_{part}.json").write_text(json.dumps(made_up))
    for block in re.findall("```python\n# (\\S+)\n(.*?)```", README.read_text(), re.DOTALL):
        (tmp_path / block[0]).write_text(block[1])
    subprocess.run([sys.executable, "annotations.py"], check=True)
    assert json.loads((features / "train.json").read_text()).keys() == videos.keys()
    cfg = load_config("my_bmn.py")
    assert cfg.model.feat_dim == 512  # of the paper's networks
    quick = dict(num_workers=0, persistent_workers=False)
    cfg.merge_from_dict(
        dict(
            model=dict(feat_dim=64, hidden_dim_1d=32, hidden_dim_2d=16, hidden_dim_3d=32),
            train_dataloader=dict(batch_size=2, **quick),
            val_dataloader=quick,
            train_cfg=dict(max_epochs=2),
            val_evaluator=dict(dump_config=dict(out=str(tmp_path / "results.json"))),
        )
    )
    cfg.work_dir = str(tmp_path / "work")
    cfg.randomness = dict(seed=0)
    runner = Runner.from_cfg(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    assert not torch.equal(after["x_1d_b.0.weight"].cpu(), before["x_1d_b.0.weight"].cpu())
    assert all(torch.isfinite(value).all() for value in after.values())
    assert np.isfinite(runner.message_hub.get_scalar("train/loss").current())
    scores = runner.message_hub.log_scalars
    assert 0 <= scores["val/AR@100"].current() <= 1
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    # MMAction2 drops the first two letters of a name, "v_".
    assert sorted(found) == sorted(name[2:] for name in videos)
    for name, info in videos.items():
        ends = [proposal["segment"][1] for proposal in found[name[2:]]]
        assert ends and max(ends) <= info["duration_second"] + 1e-6
