"""After a seek come the same pictures and the same sound as in decoding from the start.

Over containers, codecs, start times, offsets of the sound and lengths of both tracks; plain PyAV,
from the first packet to the last, says what is right.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from helpers.numbered_media import FPS, Decoded, decode_all, number_in, write_numbered

from cmac_mm.datasets.av_reader import MediaFile, read_frames, read_sound

SECONDS = 3.0
# Start of the picture, delay of the sound, length of the sound, in seconds.
LAYOUTS = [
    (0.0, 0.0, 3.0),
    (0.48, 0.0, 3.0),
    (0.0, 1.0, 2.0),
    (0.48, -0.4, 3.0),
    (0.0, 0.0, 1.5),
    (0.0, 0.52, 4.0),
]
KINDS = [
    (".mp4", "libx264", "aac"),
    (".mp4", "mpeg4", "libmp3lame"),
    (".mp4", "libx264", "ac3"),
    (".mov", "libx264", "pcm_s16le"),
    (".mkv", "libx264", "aac"),
    (".mkv", "libx264", "flac"),
    (".mkv", "libx264", "libmp3lame"),
    (".mkv", "mpeg4", "ac3"),
    (".mkv", "libx264", "pcm_s16le"),
    (".webm", "libvpx", "libopus"),
    (".avi", "mpeg4", "libmp3lame"),
    (".avi", "mpeg4", "pcm_s16le"),
    (".avi", "mpeg4", "mp2"),
    (".ts", "mpeg2video", "mp2"),
    (".ts", "libx264", "aac"),
    (".ts", "libx264", "ac3"),
    (".mpg", "mpeg1video", "mp2"),
    (".mpg", "mpeg2video", "libmp3lame"),
    (".vob", "mpeg2video", "ac3"),
    (".vob", "mpeg2video", "mp2"),
    (".flv", "flv", "libmp3lame"),
    (".flv", "libx264", "aac"),
    (".wmv", "wmv2", "wmav2"),
    (".wmv", "mpeg4", "libmp3lame"),
    (".mp3", None, "libmp3lame"),
    (".m4a", None, "aac"),
    (".wav", None, "pcm_s16le"),
    (".flac", None, "flac"),
    (".ogg", None, "libopus"),
    (".ogg", None, "flac"),
    (".ac3", None, "ac3"),
    (".aac", None, "aac"),
]
# One layout of each kind; every layout comes with several kinds.
FEW = [(kind, LAYOUTS[number % len(LAYOUTS)]) for number, kind in enumerate(KINDS)]
ALL = [(kind, layout) for kind in KINDS for layout in LAYOUTS]


def name_of(part: tuple) -> str:
    return "_".join(str(value) for value in part)


@pytest.mark.parametrize(("kind", "layout"), FEW, ids=name_of)
def test_a_seek_equals_decoding_from_the_start(tmp_path, kind, layout):
    check(tmp_path, kind, layout, starts=12)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "layout"), ALL, ids=name_of)
def test_all_layouts_at_fifty_starts(tmp_path, kind, layout):
    check(tmp_path, kind, layout, starts=50)


def check(
    folder: Path, kind: tuple[str, str | None, str], layout: tuple[float, ...], starts: int
) -> None:
    suffix, *codecs = kind
    start, delay, sound_seconds = layout
    path = folder / f"made{suffix}"
    write_numbered(path, codecs, SECONDS, sound_seconds, start, delay)
    decoded = decode_all(path)
    length = decoded.clock[-1] + 1 / FPS if codecs[0] else len(decoded.track) / decoded.rate
    rng = np.random.default_rng(0)
    with closing(MediaFile(str(path), need_video=codecs[0] is not None)) as media:
        # A decoder may give less or more of the last frame of a sound than the file says.
        assert media.duration == pytest.approx(length, abs=0.01 if codecs[0] else 0.04)
        for time in rng.uniform(0, length, starts):
            same_sound(media, decoded, time, codecs[1])
        for time in rng.uniform(0, length, starts) if codecs[0] else ():
            same_pictures(media, decoded, [min(time + i / 30, length) for i in range(4)])


def same_sound(media: MediaFile, decoded: Decoded, time: float, codec: str) -> None:
    first = round((time - decoded.begin) * decoded.rate)
    got = read_sound(media, [decoded.begin + first / decoded.rate], 0.2, decoded.rate)[0]
    want = decoded.heard(first, len(got))
    error, power = (got - want) ** 2, (decoded.track**2).mean()
    # Noise that is off by one sample has an error of twice its power. AC-3's decoder adds noise of
    # its own, and AAC's differs in the first frame after it was used.
    allowed = {"ac3": 0.06, "aac": 0.02}.get(codec, 1e-3)
    assert np.sqrt(error.mean() / power) <= allowed, time
    if not want.any():
        assert not got.any(), time


def same_pictures(media: MediaFile, decoded: Decoded, times: list[float]) -> None:
    found: dict[float, np.ndarray] = {}

    def keep(shown: list[float], frame) -> None:
        found.update(dict.fromkeys(shown, frame.to_ndarray(format="rgb24")))

    read_frames(media, times, keep)
    for time in times:
        want = decoded.shown_at(time)
        assert number_in(found[time]) == number_in(want), time
        np.testing.assert_array_equal(found[time], want)
