"""Checker, preparation and loading agree on every nasty file, and training outlives them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.brightness import MeanBrightness
from helpers.nasty_files import EXPECTED
from mmaction.registry import MODELS
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import cmac_mm.engine.hooks.bad_sample_hook  # noqa: F401
from cmac_mm.datasets import MediaError
from cmac_mm.preparation import EncodeSettings, encode_video
from cmac_mm.preparation.check import Criteria, Report, check_file

NEEDS = {"both": (True, True), "picture": (True, False), "sound": (False, True)}
SILENT = "silent (below"
# Length of a clip in seconds.
CLIP = 0.5


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


# Files of nasty2, and what is wrong with those that are not good for everything, by what is
# asked for.
REFUSED = {
    "cbr_no_xing_3s.mp3": dict(both="no video stream", picture="no video stream"),
    "concat.ts": dict.fromkeys(NEEDS, "its time stamps start anew"),
    "cut.ts": {},
    "g1.mp4": {},
    "gap.mkv": {},
    "gap.mp4": {},
    "late.mkv": {},
    "late.mp4": {},
    "n.mpg": {},
    "n_ac3.vob": {},
    "nine_channels.mov": {},
    "p_hflip.mp4": {},
    "pal_qtrle.mov": dict(both="no audio stream", sound="no audio stream"),
    "pal_raw.mov": dict(both="no audio stream", sound="no audio stream"),
    "sar.mpg": dict(both="no audio stream", sound="no audio stream"),
    "sh.wmv": {},
    "vbr_no_xing_12s.mp3": dict(both="no video stream", picture="no video stream"),
    "video_dwstart_12.avi": {},
    "ycgco.mp4": dict.fromkeys(("both", "picture"), "the picture cannot be converted"),
}
NAMES = [f"nasty/{name}" for name in EXPECTED] + [f"nasty2/{name}" for name in REFUSED]


@pytest.mark.parametrize("need", NEEDS)
def test_what_the_checker_refuses(media_dir, need):
    for name, refused in REFUSED.items():
        reason = refused.get(need, "")
        report = check(media_dir / "nasty2" / name, need)
        assert report.reason.startswith(reason), name
        assert (report.verdict == "ok") == (reason == ""), name


@pytest.mark.parametrize(("folder", "table"), [("nasty", EXPECTED), ("nasty2", REFUSED)])
def test_the_tables_are_complete(media_dir, folder, table):
    files = {path.name for path in (media_dir / folder).iterdir()}
    assert files - {"MANIFEST.tsv"} == set(table)


def opened(path: Path, need: str) -> dict:
    video, audio = NEEDS[need]
    opening = dict(type="OpenAudioVisual", need_video=video, need_audio=audio)
    return Compose([opening])(dict(filename=str(path)))


def load(path: Path, need: str, starts: list[float]) -> dict:
    results = opened(path, need)
    results.update(clip_start=starts, audio_start=starts)
    results.update(clip_duration=CLIP, audio_duration=CLIP)
    return Compose([dict(type="DecodeAudioVisual", fps=30, short_side=32)])(results)


def load_all(path: Path, need: str) -> tuple[dict, str]:
    """Clips that cover a file, the last one up to its end; or why one of them is refused."""
    try:
        results = opened(path, need)
        results["media"].close()
        end = results["total_duration"]
        loaded = load(path, need, [*np.arange(0, end, CLIP), max(0, end - CLIP)])
    except MediaError as error:
        assert error.filename == str(path)
        return {}, error.reason
    assert need == "sound" or len(loaded["imgs"]) == 15 * loaded["num_clips"]
    assert need == "picture" or np.isfinite(loaded["waveform"]).all()
    return loaded, ""


def check(path: Path, need: str) -> Report:
    return check_file(path, path.name, Criteria(need=need, full=True))


@pytest.mark.parametrize("need", NEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_loading_is_what_the_checker_says(media_dir, name, need):
    path = media_dir / name
    report = check(path, need)
    loaded, reason = load_all(path, need)
    silent = report.reason.startswith(SILENT)
    assert (reason == "") == (report.verdict == "ok" or silent)
    if report.duration is None:
        assert reason == report.reason
    if loaded and need != "picture":
        assert (np.abs(loaded["waveform"]).max() < 1e-4) == silent


@pytest.mark.parametrize("name", NAMES)
def test_preparation_does_what_the_checker_says(media_dir, name, tmp_path):
    path, target = media_dir / name, tmp_path / "prepared.mp4"
    picture, sound = check(path, "picture"), check(path, "both").sound
    if picture.verdict != "ok" or sound == "bad":
        with pytest.raises(MediaError) as caught:
            encode_video(path, target, EncodeSettings(short_side=32))
        assert caught.value.filename == str(path)
        assert not any(tmp_path.iterdir())
        return
    assert encode_video(path, target, EncodeSettings(short_side=32)) == (sound != "none")
    prepared = check(target, "picture")
    assert prepared.verdict == "ok"
    assert prepared.duration == pytest.approx(picture.duration, abs=0.5 / 30 + 1e-6)
    need = "picture" if sound == "none" else "both"
    shapes = set()
    for start in (0.0, max(0.0, prepared.duration / 2 - CLIP)):
        before, after = (load(file, need, [start]) for file in (path, target))
        shapes |= {before["img_shape"], after["img_shape"]}
        error = np.subtract(before["imgs"], after["imgs"], dtype=np.float64)
        assert np.square(error).mean() < 400  # 22 dB
    # Both sides of a prepared picture are even.
    (height, width), *others = sorted(shapes)
    assert all(abs(h - height) <= 2 and abs(w - width) <= 2 for h, w in others)


def always_refused(path: Path) -> bool:
    try:
        results = opened(path, "both")
    except MediaError:
        return True
    results["media"].close()
    for start in np.arange(0, results["total_duration"], CLIP):
        try:
            if np.abs(load(path, "both", [start])["waveform"]).max() >= 1e-4:
                return False
        except MediaError:
            continue
    return True


def test_training_goes_on_and_lists_each_bad_file_once(media_dir, tmp_path):
    """Over all nasty files and good ones, several times."""
    good = sorted((media_dir / "grid_mini").glob("*.mpg"))[:8]
    files = [*(media_dir / name for name in NAMES), *good]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in files))
    MODELS.register_module(module=MeanBrightness, force=True)
    dataset = dict(
        type="AudioVisualDataset",
        ann_file=str(tmp_path / "list.txt"),
        time_limit=60,
        pipeline=[
            dict(type="OpenAudioVisual"),
            dict(type="SampleClips", duration=CLIP),
            dict(
                type="DecodeAudioVisual",
                fps=8,
                short_side=32,
                silence_db=-80.0,
                transforms=[dict(type="CenterCrop", crop_size=32)],
            ),
            dict(type="PackAudioVisual"),
        ],
    )
    runner = Runner(
        model=dict(type="MeanBrightness"),
        work_dir=str(tmp_path / "work"),
        train_dataloader=dict(
            dataset=dataset,
            batch_size=4,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
        ),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        custom_hooks=[dict(type="BadSampleHook")],
        randomness=dict(seed=0),
        experiment_name=tmp_path.name,
        default_scope="mmaction",
    )
    runner.train()
    assert runner.iter == 2 * -(-len(files) // 4)
    rows = [line.split("\t") for line in (tmp_path / "work/bad_files.txt").read_text().splitlines()]
    names = [name for name, _ in rows]
    assert len(names) == len(set(names))
    reports = {str(path): check(path, "both") for path in files}
    for path in good:
        assert reports[str(path)].verdict == "ok"
    bad = {name for name, report in reports.items() if report.verdict != "ok"}
    # Of a file that is good in part, the run may have drawn such clips only; and a clip may be
    # silent throughout where the file is not.
    assert {name for name in bad if always_refused(Path(name))} <= set(names)
    assert all(name in bad or reason.startswith(SILENT) for name, reason in rows)
