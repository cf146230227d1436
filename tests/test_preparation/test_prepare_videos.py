"""Prepared videos give the same clips as their sources, in step, and are never half there."""

from __future__ import annotations

import csv
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.little_room import with_room_for
from helpers.media_tools import all_frames, all_sound, write_video
from helpers.synchrony import check, moments
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from cmac_mm.datasets import MediaError
from cmac_mm.preparation import EncodeSettings, encode_video, prepare_videos
from cmac_mm.preparation.prepare import _Job, _prepare
from cmac_mm.utils.files import part_of

NTSC = Fraction(30000, 1001)
KINETICS = "kinetics/bungee_jumping/zkXOcxGnUhs_000025_000035.mp4"


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


def clip(path: Path, start: float, sound: bool = True, short_side: int = 144) -> dict:
    opening = Compose([dict(type="OpenAudioVisual", need_audio=sound)])
    decode = Compose([dict(type="DecodeAudioVisual", fps=30, short_side=short_side)])
    results = opening(dict(filename=str(path)))
    results.update(clip_start=[start], audio_start=[start])
    results.update(clip_duration=1.0, audio_duration=1.0)
    return decode(results)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.square(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean()
    return 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("fps", [15, 25, NTSC, 60], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm", ".ts"])
def test_flash_and_click_stay_together(tmp_path, suffix, fps):
    """Within 2 ms of the truth, where the frame rate is kept, so that no picture has to move."""
    source, target = tmp_path / f"source{suffix}", tmp_path / "out/prepared.mp4"
    frames = [int(second * fps) for second in (0.6, 1.5, 2.2, 3.1, 4.4)]
    truth = write_video(source, fps, 5.0, flashes=tuple(frames), gop=40)
    assert encode_video(source, target, EncodeSettings(fps=float(fps)))
    assert check(target, truth, 0.0, 5.0) == 5
    for start in (0.47, 1.91, 3.3):
        check(target, truth, start, 1.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("audio_start", [0.0, 1.0])
def test_a_track_that_starts_earlier_or_later_keeps_its_distance(tmp_path, suffix, audio_start):
    source, target = tmp_path / f"source{suffix}", tmp_path / "prepared.mp4"
    truth = write_video(source, 25, 5.0, 0.4, audio_start, flashes=(20, 45, 70, 100), gop=40)
    encode_video(source, target, EncodeSettings(fps=25))
    assert check(target, truth, 0.0, 5.0) == 4
    check(target, truth, 1.55, 1.0)


@pytest.mark.parametrize("fps", [15, 24, 25, NTSC, 50, 60], ids=str)
def test_at_another_frame_rate_a_picture_waits_for_the_next_frame(tmp_path, fps):
    source, target = tmp_path / "source.mp4", tmp_path / "prepared.mp4"
    frames = [int(second * fps) for second in (0.6, 1.5, 2.2, 3.1)]
    truth = write_video(source, fps, 4.0, flashes=tuple(frames))
    encode_video(source, target, EncodeSettings())
    flashes, clicks = moments(target, 0.0, 3.8)
    np.testing.assert_allclose(clicks, truth, atol=2e-3)
    # A flash between two frames of 60 a second may fall between two of 30.
    for flash in flashes:
        behind = flash - np.array(truth)
        assert (-2e-3 <= behind[np.abs(behind).argmin()] <= 1 / 30 + 1e-3).all()
    assert len(flashes) == len(truth) or fps > 30


def test_against_the_plainest_reader(tmp_path):
    """Frame rate, frame count, key frames, and the moment of the click, without our readers."""
    source, target = tmp_path / "source.mp4", tmp_path / "prepared.mp4"
    truth = write_video(source, 30, 3.0, flashes=(31, 64))
    encode_video(source, target, EncodeSettings(key_interval=16))
    times, images = all_frames(target)
    np.testing.assert_allclose(times, np.arange(90) / 30, atol=1e-4)
    bright = [k for k, image in enumerate(images) if image.mean() > 150]
    assert bright == [31, 64]
    start, rate, samples = all_sound(target)
    assert rate == 24000
    loud = np.flatnonzero(np.abs(samples) > 0.2) / rate + start
    clicks = loud[np.diff(loud, prepend=-1) > 0.05]
    np.testing.assert_allclose(clicks, truth, atol=1e-3)
    with av.open(str(target)) as container:
        keys = [p.pts * p.time_base for p in container.demux(video=0) if p.size and p.is_keyframe]
        assert max(np.diff([float(key) for key in keys])) <= 16 / 30 + 1e-6
        assert container.streams.audio[0].layout.name == "mono"
    # +faststart: the index comes before the content.
    content = target.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_same_clips_from_real_videos(media_dir, tmp_path):
    for name in (KINETICS, "torchvision_videos/R6llTwEh07w.mp4"):
        source, target = media_dir / name, tmp_path / "prepared.mp4"
        encode_video(source, target, EncodeSettings())
        assert target.stat().st_size < source.stat().st_size
        for start in (0.0, 2.0, 5.0):
            before, after = clip(source, start), clip(target, start)
            assert before["img_shape"] == after["img_shape"]
            assert psnr(before["imgs"], after["imgs"]) > 32
            one, other = before["waveform"][0], after["waveform"][0]
            noise = np.square(one - other).mean()
            assert 10 * np.log10(np.square(one).mean() / noise) > 15


@pytest.mark.parametrize("name", ["decord__video_90.mov", "decord__video_270.mov"])
def test_rotated_pictures_stand_upright(media_dir, tmp_path, name):
    source, target = media_dir / "nasty" / name, tmp_path / "prepared.mp4"
    assert not encode_video(source, target, EncodeSettings())
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (144, 256, 0)
        assert not container.streams.audio
    before, after = clip(source, 0.0, sound=False), clip(target, 0.0, sound=False)
    # The source's longer side is rounded before it is turned.
    assert before["imgs"][0].shape == after["imgs"][0].shape
    assert psnr(before["imgs"][0], after["imgs"][0]) > 32


@pytest.mark.parametrize(
    "name", ["mp4parse__video_colr_nclx_rgb.mp4", "mmaction2__video_0.mp4", "decord__unordered.mov"]
)
def test_colours_and_odd_sizes(media_dir, tmp_path, name):
    """RGB and 4:4:4 pictures of 2x2, 1638x409 and 50x50 pixels; small ones are not enlarged."""
    source, target = media_dir / "nasty" / name, tmp_path / "prepared.mp4"
    encode_video(source, target, EncodeSettings())
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == {
            "mp4parse__video_colr_nclx_rgb.mp4": (2, 2),
            "mmaction2__video_0.mp4": (576, 144),
            "decord__unordered.mov": (50, 50),
        }[name]
    before = np.mean(clip(source, 0.0, sound=False)["imgs"], axis=(0, 1, 2))
    after = np.mean(clip(target, 0.0, sound=False)["imgs"], axis=(0, 1, 2))
    np.testing.assert_allclose(before, after, atol=4)


@pytest.mark.parametrize(
    "wrong", [dict(short_side=143), dict(fps=0), dict(key_interval=0), dict(crf=60)]
)
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EncodeSettings(**wrong)


def test_nothing_is_left_of_what_fails(media_dir, tmp_path):
    for name in ("decord__corrupted.mp4", "moviepy__result.webm", "openl3__silence.wav"):
        with pytest.raises(MediaError, match=name):
            encode_video(media_dir / "nasty" / name, tmp_path / "x/y.mp4", EncodeSettings())
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.fixture
def folder(tmp_path, media_dir) -> Path:
    folder = tmp_path / "set"
    (folder / "jump ing").mkdir(parents=True)
    shutil.copy(media_dir / "nasty/imageio__realshort.mp4", folder / "jump ing/one.mp4")
    shutil.copy(media_dir / "nasty/ucf101__v_BaseballPitch_g06_c04.avi", folder / "nö.sound.avi")
    shutil.copy(media_dir / "nasty/decord__corrupted.mp4", folder / "corrupt.mp4")
    (folder / "list.txt").write_text(
        "nö.sound.avi 5\ncorrupt.mp4 1\n\njump ing/one.mp4 3\nmissing.webm 2\nnö.sound.avi  6\n",
        encoding="utf-8",
    )
    return folder


def stamps(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.rglob("*.mp4")}


def test_a_list(folder, tmp_path):
    out = tmp_path / "out"
    summary = prepare_videos(folder / "list.txt", out, prefix=folder, workers=2)
    assert summary.counts == {"prepared": 2, "unusable": 2}
    assert summary.without_sound == 1
    text = (out / "list.txt").read_text(encoding="utf-8")
    assert text == "nö.sound.mp4 5\njump ing/one.mp4 3\nnö.sound.mp4  6\n"
    with (out / "list.failed.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["kind"]) for row in rows] == [
        ("corrupt.mp4", "unusable"),
        ("missing.webm", "unusable"),
    ]
    assert "FileNotFoundError" in rows[1]["reason"]
    sizes = [folder / "jump ing/one.mp4", folder / "nö.sound.avi"]
    assert summary.bytes_before == sum(path.stat().st_size for path in sizes)
    assert summary.bytes_after == sum(path.stat().st_size for path in out.rglob("*.mp4"))

    # Again: nothing is made anew, and the same numbers come out.
    before = stamps(out)
    again = prepare_videos(folder / "list.txt", out, prefix=folder, workers=2)
    assert again.counts == {"there already": 2, "unusable": 2}
    assert (again.bytes_before, again.bytes_after) == (summary.bytes_before, summary.bytes_after)
    assert stamps(out) == before

    # A file that was cut off by something else is made anew, also where its header is whole.
    cut = out / "jump ing/one.mp4"
    os.truncate(cut, cut.stat().st_size * 2 // 3)
    part_of(cut).write_bytes(b"left by a kill")
    mended = prepare_videos(folder / "list.txt", out, prefix=folder, workers=2)
    assert mended.counts == {"there already": 1, "prepared": 1, "unusable": 2}
    # It is whole again; byte for byte the same it need not be (x264's macroblock tree varies).
    with av.open(str(cut)) as made, av.open(str(folder / "jump ing/one.mp4")) as source:
        pictures = sum(1 for _ in made.decode(video=0))
        assert pictures == pytest.approx(source.duration / av.time_base * 30, abs=1)
    assert mended.bytes_after == sum(path.stat().st_size for path in out.rglob("*.mp4"))
    assert not list(out.rglob(".*"))

    with pytest.raises(ValueError, match=r"settings\.json: .*'crf': 20.*another folder"):
        prepare_videos(
            folder / "list.txt", out, prefix=folder, settings=EncodeSettings(crf=21), workers=1
        )


def test_no_room_for_the_decoded_pictures(folder, tmp_path):
    """They are in a scratch file that is mapped: writing to it would kill the process."""
    target = tmp_path / "out/one.mp4"
    job = _Job("one", folder / "jump ing/one.mp4", target, EncodeSettings(), need_sound=False)
    failure = with_room_for(1_000_000, lambda: _prepare(job))
    assert failure.kind == "disk full"
    assert re.search(r"for \d+\.\d MiB of decoded pictures: '/", failure.reason)
    assert not list(tmp_path.glob("out/*"))


def test_a_folder_without_the_silent_ones(folder, tmp_path):
    summary = prepare_videos(folder, tmp_path / "out", need_sound=True, workers=1)
    # The corrupt one has no sound track either.
    assert summary.counts == {"prepared": 1, "left out, no sound": 2}
    assert (tmp_path / "out/set.txt").read_text() == "jump ing/one.mp4 0\n"


def test_a_video_that_hangs(folder, tmp_path):
    os.mkfifo(folder / "pipe.mkv")
    summary = prepare_videos(folder, tmp_path / "out", workers=2, timeout=4)
    assert summary.counts == {"prepared": 2, "unusable": 1, "timed out": 1}
    assert summary.failures[-1] == ("pipe.mkv", "timed out", "not done after 4 s")


def test_names_that_would_clash_or_leave_the_folder(folder, tmp_path):
    shutil.copy(folder / "corrupt.mp4", folder / "corrupt.mov")
    with pytest.raises(ValueError, match=r"corrupt\.mov and .* would both become"):
        prepare_videos(folder, tmp_path / "out")
    with pytest.raises(ValueError, match="holds the videos themselves"):
        prepare_videos(folder / "list.txt", folder, prefix=folder)
    for name in ("../x.mp4", "/somewhere/else/x.mp4"):
        (folder / "wrong.txt").write_text(f"{name} 1\n")
        with pytest.raises(ValueError, match="not a path below"):
            prepare_videos(folder / "wrong.txt", tmp_path / "out", prefix=folder)
    assert not (tmp_path / "out").exists()


def test_whole_paths_below_a_folder_that_is_given_from_here(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / "whole.txt").write_text(f"{folder / 'jump ing/one.mp4'} 1\n")
    prepare_videos(folder / "whole.txt", tmp_path / "out", prefix=Path(folder.name), workers=1)
    assert (tmp_path / "out/whole.txt").read_text() == "jump ing/one.mp4 1\n"
