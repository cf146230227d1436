"""Every nasty file is decoded as it should be, or refused with an error that names it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.nasty_files import EXPECTED, OK
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from cmac_mm.datasets import MediaError

# Displayed (height, width) of files whose pictures are of odd size, rotated or of several streams.
SHAPES = {
    "decord__video_90.mov": (568, 320),
    "decord__video_270.mov": (568, 320),
    "mmaction2__video_0.mp4": (409, 1638),
    "mp4parse__video_colr_nclx_rgb.mp4": (2, 2),
    "torchcodec__nasa_13013.mp4": (270, 480),
}


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


def run(path: Path, video: bool, audio: bool, **sampling: object) -> dict:
    sampling = {"duration": 1.0, "mode": "uniform", **sampling}
    pipeline = Compose(
        [
            dict(type="OpenAudioVisual", need_video=video, need_audio=audio),
            dict(type="SampleClips", **sampling),
            dict(type="DecodeAudioVisual", fps=30, short_side=64, silence_db=-80.0),
            *([dict(type="LogMelSpectrogram")] if audio else []),
            dict(type="PackAudioVisual"),
        ]
    )
    return pipeline(dict(filename=str(path)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", EXPECTED)
def test_middle_of_each_file(media_dir, name):
    path = media_dir / "nasty" / name
    for (video, audio), expected in zip(
        [(True, True), (True, False), (False, True)], EXPECTED[name], strict=True
    ):
        if expected != OK:
            with pytest.raises(MediaError, match=expected) as caught:
                run(path, video, audio)
            assert str(caught.value).startswith(f"{path}: ")
            continue
        packed = run(path, video, audio)
        shape = packed["data_samples"].get("original_shape")
        if video:
            imgs = packed["inputs"]["imgs"]
            assert imgs.shape[:2] == (3, 30)
            assert min(imgs.shape[2:]) == 64
            assert shape == SHAPES.get(name, shape)
        if audio:
            sound = packed["inputs"]["audio"]
            assert sound.shape == (1, 257, 100)
            assert sound.isfinite().all()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", EXPECTED)
def test_random_clips_never_crash(media_dir, name):
    np.random.seed(0)
    for video, audio in [(True, True), (True, False), (False, True)]:
        for num_clips in (1, 3):
            try:
                run(media_dir / "nasty" / name, video, audio, mode="random", num_clips=num_clips)
            except MediaError as error:
                assert name in str(error)


@pytest.mark.parametrize("name", ["decord__corrupted.mp4", "mp4parse__no_timescale.mp4"])
def test_no_damaged_picture_is_shown(media_dir, name):
    """What is accepted of a corrupt file was decoded without an error up to there."""
    path = media_dir / "nasty" / name
    good_until = np.inf
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        origin = stream.start_time
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                good_until = min(good_until, float((packet.pts - origin) * stream.time_base))
                continue
            for frame in frames:
                if frame.is_corrupt:
                    time = float((frame.pts - origin) * stream.time_base)
                    good_until = min(good_until, time)
    accepted = []
    for time in np.arange(0, 5, 0.1):
        opening = Compose([dict(type="OpenAudioVisual", need_audio=False)])
        decode = Compose([dict(type="DecodeAudioVisual", fps=30, clip_len=1)])
        results = opening(dict(filename=str(path)))
        results.update(clip_start=[time], clip_duration=1 / 30)
        try:
            decode(results)
        except MediaError:
            continue
        accepted.append(time)
    # The first picture of the other file is damaged already.
    assert bool(accepted) == (name == "decord__corrupted.mp4")
    assert max(accepted, default=-1) < good_until


def test_rotated_files_stand_upright(media_dir):
    """One of the two films is the other upside down, as far as its stored pictures go."""
    for name, turns in (("decord__video_90.mov", -1), ("decord__video_270.mov", 1)):
        path = media_dir / "nasty" / name
        with av.open(str(path)) as container:
            stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
        opening = Compose([dict(type="OpenAudioVisual", need_audio=False)])
        decode = Compose([dict(type="DecodeAudioVisual", fps=30, clip_len=1)])
        results = opening(dict(filename=str(path)))
        results.update(clip_start=[0.0], clip_duration=0.1)
        np.testing.assert_array_equal(decode(results)["imgs"][0], np.rot90(stored, turns))


def test_a_grid_film_without_a_frame_count(media_dir):
    path = media_dir / "grid_mini" / "bbaf2n.mpg"
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    packed = run(path, True, True, num_clips=3)
    assert packed["inputs"]["imgs"].shape == (3, 3, 30, 64, 80)
    assert packed["data_samples"].clip_start == pytest.approx(
        [0, 1.0, 2.0]
    )  # 75 frames, 25 a second
