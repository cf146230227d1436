"""Time stamps and lengths that are wrong, and sound that is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.numbered_media import (
    FPS,
    OPTIONS,
    RATE,
    decode_all,
    number_in,
    set_avi_start,
    write_numbered,
)
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from cmac_mm.datasets import LoadAudio
from cmac_mm.datasets.av_reader import MediaError, MediaFile, read_frames, read_sound
from cmac_mm.preparation import Criteria, EncodeSettings, check_file, encode_video

CONTAINERS = {
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".ts": ("mpeg2video", "mp2"),
    ".mpg": ("mpeg2video", "mp2"),
    ".vob": ("mpeg2video", "ac3"),
    ".flv": ("flv", "libmp3lame"),
    ".wmv": ("wmv2", "wmav2"),
}


@contextmanager
def opened(path: Path, **need: bool) -> Iterator[MediaFile]:
    with closing(MediaFile(str(path), **need)) as media:
        yield media


def number_at(media: MediaFile, time: float) -> int:
    found = []
    read_frames(media, [time], lambda _, frame: found.append(frame.to_ndarray(format="rgb24")))
    return number_in(found[-1])


def level_at(media: MediaFile, time: float, seconds: float = 0.2) -> float:
    return float(np.sqrt(np.square(read_sound(media, [time], seconds, RATE)[0]).mean()))


def loaded(path: Path, start: float) -> dict:
    """A second of a file, as training loads it."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        opening = Compose([dict(type="OpenAudioVisual")])
        decode = Compose([dict(type="DecodeAudioVisual", fps=FPS, silence_db=-80.0)])
    results = opening(dict(filename=str(path)))
    results.update(clip_start=[start], audio_start=[start], clip_duration=1.0, audio_duration=1.0)
    return decode(results)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_missing_sound_is_silence(tmp_path, suffix):
    """Before the track's start, in a hole and after its end, in every container alike."""
    codecs = CONTAINERS[suffix]
    late, gap, early = (tmp_path / f"{name}{suffix}" for name in ("late", "gap", "early"))
    write_numbered(early, codecs, 3, 1.5)
    quiet = {early: [2.0, 2.7]}
    if suffix != ".avi":  # its stamps count chunks, so muxers fill holes
        write_numbered(late, codecs, 3, 1.5, delay=1.5)
        write_numbered(gap, codecs, 4, 4, hole=(1.0, 2.5))
        quiet |= {late: [0.0, 1.0], gap: [1.4, 2.1]}
    for path, times in quiet.items():
        with opened(path) as media:
            loud = {early: 1.0, late: 2.0, gap: 3.0}[path]
            assert level_at(media, loud) > 0.2
            assert [level_at(media, time) for time in times] == [0, 0], path
            assert media.duration == pytest.approx(4 if path == gap else 3, abs=0.05)
        for full in (False, True):
            report = check_file(path, path.name, Criteria(full=full))
            assert (report.verdict, report.sound) == ("ok", "ok"), report
    waveform = loaded(early, 1.0)["waveform"][0]
    assert np.abs(waveform[:10000]).max() > 0.1
    assert not waveform[16000:].any()
    with pytest.raises(MediaError, match="silent"):
        loaded(early, 2.0)


@pytest.mark.parametrize("suffix", [".mpg", ".vob", ".ts"])
def test_sound_that_starts_after_what_ffmpeg_looks_at(tmp_path, suffix):
    path = tmp_path / f"late{suffix}"
    write_numbered(path, CONTAINERS[suffix], 9, 1.5, delay=7.5)
    with opened(path) as media:
        assert level_at(media, 0.0) == level_at(media, 7.0) == 0
        assert level_at(media, 8.0) > 0.2
    assert check_file(path, path.name, Criteria()).verdict == "ok"


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_sound_that_the_header_lists_and_the_file_lacks_is_an_error(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    write_numbered(path, CONTAINERS[suffix], 6, container_options=options)
    os.truncate(path, path.stat().st_size // 2)
    with opened(path) as media:
        assert level_at(media, 1.0) > 0.2
        if suffix == ".avi":  # its list is at the end of the file, and so is lost
            assert media.duration < 4
            return
        for start in (2.7, 4.0):
            with pytest.raises(MediaError, match=r"no sound at|the sound breaks off"):
                read_sound(media, [start], 1.0, RATE)
    assert check_file(path, path.name, Criteria(need="sound")).verdict == "bad"


# Sound in blocks of one size: FFmpeg's list of an AVI counts its bytes.
IN_BLOCKS = ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "adpcm_ms"]


@pytest.mark.parametrize("codec", IN_BLOCKS)
def test_sound_in_blocks_may_end_before_the_picture_of_an_avi(tmp_path, codec):
    path = tmp_path / "early.avi"
    write_numbered(path, ("mpeg4", codec), 4, 1.5)
    with opened(path) as media:
        assert level_at(media, 1.0) > 0.2
        assert level_at(media, 1.6, 1.0) == level_at(media, 3.0, 2.0) == 0
        assert level_at(media, 1.0, 4.0) > 0.05
    assert check_file(path, path.name, Criteria(full=True)).verdict == "ok"


@pytest.mark.parametrize("codec", [*IN_BLOCKS, "mp2"])
def test_sound_that_the_list_of_an_avi_names_and_the_file_lacks_is_an_error(tmp_path, codec):
    path = tmp_path / "lost.avi"
    write_numbered(path, ("mpeg4", codec), 4)
    content = path.read_bytes()
    parts, index = content[: content.rindex(b"idx1")].split(b"01wb"), content.rindex(b"idx1")
    half = len(parts) // 2
    lost = b"01wb".join(parts[:half]) + b"JUNK" + b"JUNK".join(parts[half:])
    path.write_bytes(lost + content[index:])
    with opened(path) as media:
        assert level_at(media, 1.0) > 0.2
        for start in (1.5, 2.5, 3.0):
            with pytest.raises(MediaError, match=r"no sound at|the sound breaks off at"):
                read_sound(media, [start], 1.0, RATE)


@pytest.mark.parametrize("codec", ["pcm_s16le", "adpcm_ms", "mp2"])
def test_the_start_that_avi_gives_to_sound_alone(tmp_path, codec):
    """dwStart counts blocks of sound."""
    path = tmp_path / "made.avi"
    write_numbered(path, ("mpeg4", codec), 3)
    with opened(path, need_video=False) as media:
        want = read_sound(media, [0.5], 0.5, RATE)
    set_avi_start(path, 12, b"auds")
    with opened(path, need_video=False) as media:
        np.testing.assert_array_equal(read_sound(media, [0.5], 0.5, RATE), want)


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".vob", ".mkv", ".webm"])
def test_joined_files_are_refused_with_a_sentence(tmp_path, suffix):
    """Which would else show frames of one part with the sound of the other."""
    parts = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for number, part in enumerate(parts):
        write_numbered(part, CONTAINERS[suffix], 3, first=100 * number)
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    sentence = r"its time stamps start anew at 2\.\d\d s \(files joined end to end"
    with pytest.raises(MediaError, match=sentence):
        loaded(path, 1.0)
    report = check_file(path, path.name, Criteria())
    assert report.verdict == "bad"
    assert report.reason.startswith("its time stamps start anew")
    with pytest.raises(MediaError, match=sentence):
        encode_video(path, tmp_path / "prepared.mp4", EncodeSettings())


@pytest.mark.parametrize("codecs", [("mpeg2video", "mp2"), ("libx264", "aac"), ("libx265", "aac")])
@pytest.mark.parametrize("share", [0.1, 0.25])
def test_a_stream_that_begins_inside_a_group_of_pictures(tmp_path, monkeypatch, codecs, share):
    monkeypatch.setitem(
        OPTIONS, "libx265", {"x265-params": "keyint=15:bframes=2:open-gop=1:log-level=none"}
    )
    whole, path = tmp_path / "whole.ts", tmp_path / "cut.ts"
    write_numbered(whole, codecs, 4)
    content = whole.read_bytes()
    path.write_bytes(content[int(len(content) * share) // 188 * 188 :])
    left = decode_all(path)
    first, before = number_in(left.images[0]), decode_all(whole)
    with opened(path) as media:
        assert media.duration == pytest.approx(len(left.images) / FPS, abs=1e-3)
        for time in np.random.default_rng(0).uniform(0, media.duration, 8):
            shown = number_at(media, time)
            assert shown == first + int((time + 6e-4) * FPS)
            # Each picture with its own sound.
            got = read_sound(media, [(shown - first) / FPS], 0.1, RATE)[0]
            place = round((shown / FPS - before.begin) * RATE)
            want = before.heard(place, len(got))
            assert np.corrcoef(got, want)[0, 1] > 0.99 or shown - first < 3
    assert check_file(path, path.name, Criteria(full=True)).verdict == "ok"


@pytest.mark.parametrize("starts", [(1.0, 0.0), (0.0, 1.0), (1.0, 2.0), (0.52, 0.0)])
def test_a_later_start_in_an_mp4_counts_once(tmp_path, starts):
    """Muxers write it as an edit list whose first entry is empty."""
    picture, sound = starts
    path = tmp_path / "made.mp4"
    write_numbered(path, ("libx264", "libmp3lame"), 4, 4, picture, sound - picture)
    with opened(path) as media:
        assert media.duration == pytest.approx(4, abs=1e-3)
        assert number_at(media, 3.97) == 99
        assert level_at(media, sound - picture + 3.6) > 0.2
    with opened(path, need_video=False) as media:
        assert media.duration == pytest.approx(4, abs=0.05)


def test_the_start_that_avi_gives_a_track(tmp_path):
    """dwStart, in the header of the picture's track."""
    path = tmp_path / "made.avi"
    write_numbered(path, ("mpeg4", "mp2"), 3)
    decoded = decode_all(path)
    set_avi_start(path, 12)
    with opened(path) as media:
        assert media.duration == pytest.approx(3)
        assert number_at(media, 0.0) == 0
        assert number_at(media, 2.97) == 74
        got = read_sound(media, [0.2 - 0.48], 0.2, RATE)[0]
    want = decoded.heard(round((0.2 - decoded.begin) * RATE), len(got))
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("made.asf", ("libx264", "libmp3lame")),
        ("made.wmv", ("libx264", "aac")),
        ("made.mxf", ("libx264", "pcm_s16le")),
        ("made.nut", ("libx264", "aac")),
    ],
)
def test_stamps_in_the_order_of_decoding(tmp_path, name, codecs):
    """ASF and MXF give pictures that H.264 reorders the stamps of their places in the file."""
    path = tmp_path / name
    write_numbered(path, codecs, 3.0)
    with opened(path) as media:
        assert media.duration == pytest.approx(3.0, abs=0.01)
        shown = [number_at(media, (k + 0.5) / FPS) for k in range(0, 75, 7)]
        assert shown == list(range(0, 75, 7))
        times = [(k + 0.5) / FPS for k in range(75)]
        found: dict[float, int] = {}
        read_frames(
            media,
            times,
            lambda at, frame: found.update(
                dict.fromkeys(at, number_in(frame.to_ndarray(format="rgb24")))
            ),
        )
        assert [found[time] for time in times] == list(range(75))


@pytest.mark.parametrize(("suffix", "seconds"), [(".mpg", 5.6), (".vob", 5.6), (".wmv", 5.6)])
def test_lengths_are_measured_where_the_format_guesses(tmp_path, suffix, seconds):
    path, target = tmp_path / f"made{suffix}", tmp_path / "prepared.mp4"
    write_numbered(path, CONTAINERS[suffix], seconds)
    for full in (False, True):
        report = check_file(path, path.name, Criteria(full=full))
        assert report.duration == pytest.approx(seconds, abs=1e-3)
    encode_video(path, target, EncodeSettings(fps=FPS))
    with opened(target) as media:
        assert media.duration == pytest.approx(seconds, abs=1e-3)
    assert len(loaded(path, seconds - 1)["imgs"]) == FPS


@pytest.mark.parametrize("seconds", [3, 25])
def test_mp3_without_a_xing_header(tmp_path, seconds):
    """By the checker, by loading of videos and by that of sound files."""
    path = tmp_path / "made.mp3"
    write_numbered(path, (None, "libmp3lame"), 0, seconds, container_options={"write_xing": "0"})
    assert b"Xing" not in path.read_bytes()[:2000]
    length = decode_all(path).track.size / RATE
    assert length == pytest.approx(seconds, abs=0.1)
    report = check_file(path, path.name, Criteria(need="sound", full=True))
    assert (report.verdict, report.duration) == ("ok", pytest.approx(length, abs=1e-3))
    found = LoadAudio(RATE)(dict(filename=str(path)))
    assert found["total_duration"] == pytest.approx(length, abs=1e-3)
    with opened(path, need_video=False) as media:
        np.testing.assert_allclose(
            read_sound(media, [length - 1], 0.5, RATE)[0],
            found["sound"][round((length - 1) * RATE) :][: RATE // 2],
            atol=1e-4,
        )


LENGTHS = {
    "n.mpg": 5.6,
    "n_ac3.vob": 8.0,
    "cut.ts": 4.2,
    "late.mp4": 6.0,
    "late.mkv": 6.0,
    "gap.mp4": 8.0,
    "gap.mkv": 8.0,
    "g1.mp4": 8.0,
    "sh.wmv": 6.0,
    "video_dwstart_12.avi": 3.0,
}
SILENT = {
    "late.mp4": (0.0, 1.0),
    "late.mkv": (0.0, 1.0),
    "gap.mp4": (3.2, 4.6),
    "gap.mkv": (3.2, 4.6),
    "g1.mp4": (7.2, 7.8),
    "sh.wmv": (4.0, 5.0),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_files_that_others_met(media_dir, name):
    path = media_dir / "nasty2" / name
    for full in (False, True):
        report = check_file(path, name, Criteria(full=full))
        assert (report.verdict, report.reason) == ("ok", "")
        assert report.duration == pytest.approx(LENGTHS[name], abs=1e-3)
    decoded = decode_all(path)
    with opened(path) as media:
        for time in SILENT.get(name, ()):
            assert level_at(media, time) == 0, time
        for time in np.random.default_rng(0).uniform(0, media.duration, 20):
            assert number_at(media, time) == number_in(decoded.shown_at(time))
            first = round((time - decoded.begin) * RATE)
            got = read_sound(media, [decoded.begin + first / RATE], 0.2, RATE)[0]
            if name != "late.mkv":  # Vorbis, whose place Matroska tells to a millisecond
                error = np.square(got - decoded.heard(first, len(got))).mean()
                assert np.sqrt(error) <= 0.06 * np.sqrt(np.square(decoded.track).mean()), time


@pytest.mark.parametrize(
    ("name", "length"), [("vbr_no_xing_12s.mp3", 12.024), ("cbr_no_xing_3s.mp3", 3.024)]
)
def test_mp3_that_others_met(media_dir, name, length):
    path = media_dir / "nasty2" / name
    report = check_file(path, name, Criteria(need="sound"))
    assert (report.verdict, report.duration) == ("ok", pytest.approx(length))
    found = LoadAudio()(dict(filename=str(path)))
    assert found["total_duration"] == pytest.approx(length)


def test_joined_streams_that_others_met(media_dir):
    with pytest.raises(MediaError, match=r"concat\.ts: its time stamps start anew at 2\.88 s"):
        loaded(media_dir / "nasty2/concat.ts", 1.0)
