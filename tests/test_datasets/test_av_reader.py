"""Reading at random places gives what decoding from the start gives."""

from __future__ import annotations

import contextlib
import gc
import resource
from fractions import Fraction
from math import gcd
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from helpers.media_tools import all_frames, all_sound, remux, write_video
from scipy.signal import firwin, resample_poly

from cmac_mm.datasets.av_reader import MediaError, MediaFile, read_frames, read_sound

PAGE = resource.getpagesize()
REAL = [
    "torchvision_videos/WUzgd7C1pWA.mp4",
    "torchvision_videos/SOX5yA1l24A.mp4",
    "torchvision_videos/v_SoccerJuggling_g23_c01.avi",
    "torchvision_videos/RATRACE_wave_f_nm_np1_fr_goo_37.avi",
    "ucf101_mini/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02.avi",
    "grid_mini/bbaf2n.mpg",
    "nasty/moviepy__no_duration.webm",
    "nasty/torchcodec__av1_video.mkv",
    "nasty/exoplayer__video_desks.3gp",
]
WITH_SOUND = [
    "torchvision_videos/WUzgd7C1pWA.mp4",
    "kinetics/arm_wrestling/ehLnj7pXnYE_000027_000037.mp4",
    "ucf101_mini/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02.avi",
    "grid_mini/bbaf2n.mpg",
    "nasty/exoplayer__video_desks.3gp",
    "nasty/imageio__realshort.mp4",
]


def read(path: Path, times: list[float]) -> list[np.ndarray]:
    """Pictures shown at the times, in native size."""
    found: dict[float, np.ndarray] = {}

    def sink(shown: list[float], frame) -> None:
        found.update(dict.fromkeys(shown, frame.to_ndarray(format="rgb24")))

    media = MediaFile(str(path), need_audio=False)
    try:
        read_frames(media, times, sink)
    finally:
        media.close()
    return [found[time] for time in times]


def expected(path: Path, times: list[float]) -> list[np.ndarray]:
    clock, images = all_frames(path)
    return [images[max(0, np.searchsorted(clock, time + 6e-4, side="right") - 1)] for time in times]


@pytest.mark.parametrize("name", REAL)
def test_random_access_equals_decoding_from_the_start(media_dir, name):
    path = media_dir / name
    clock, images = all_frames(path)
    rng = np.random.default_rng(0)
    for _ in range(4):
        start = rng.uniform(0, clock[-1])
        times = [min(start + i / 30, clock[-1]) for i in range(16)]
        places = [max(0, np.searchsorted(clock, t + 6e-4, side="right") - 1) for t in times]
        for got, place in zip(read(path, times), places, strict=True):
            np.testing.assert_array_equal(got, images[place])


@pytest.mark.parametrize("name", REAL[:1] + REAL[2:3] + REAL[6:7])
def test_several_clips_in_any_order(media_dir, name):
    path = media_dir / name
    clock, images = all_frames(path)
    rng = np.random.default_rng(1)
    times = rng.uniform(0, clock[-1], 40).tolist()
    times += times[:5]
    for got, time in zip(read(path, times), times, strict=True):
        place = max(0, np.searchsorted(clock, time + 6e-4, side="right") - 1)
        np.testing.assert_array_equal(got, images[place])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".ts"])
@pytest.mark.parametrize("gop", [12, 250])
def test_made_videos(tmp_path, suffix, gop):
    path = tmp_path / f"made{suffix}"
    # AVI has no time stamps, so nothing can start later.
    start = 0.0 if suffix == ".avi" else 0.5
    write_video(path, fps=Fraction(30000, 1001), seconds=4, start=start, gop=gop)
    times = np.random.default_rng(2).uniform(0, 3.9, 30).tolist()
    for got, want in zip(read(path, times), expected(path, times), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"x264-params": "open-gop=1:keyint=20:bframes=3:b-adapt=0"}),
        (".ts", "libx264", {"x264-params": "open-gop=1:keyint=20:bframes=3:b-adapt=0"}),
        (".mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
        (".mkv", "libx265", {"x265-params": "open-gop=1:keyint=20:bframes=4:log-level=none"}),
        (".avi", "mpeg4", {"bf": "2"}),
        (".mp4", "mpeg4", {"bf": "2"}),
    ],
)
def test_key_frames_that_are_no_clean_start(tmp_path, suffix, codec, options):
    """Pictures just after an open key frame refer to pictures before it; some codecs have none."""
    path = tmp_path / f"made{suffix}"
    audio = "pcm_s16le" if suffix == ".avi" else "aac"
    noise = np.random.default_rng(9)
    write_video(path, seconds=4, codecs=(codec, audio), noise=noise, video_options=options)
    times = np.random.default_rng(2).uniform(0, 3.9, 15).tolist()
    for time, want in zip(times, expected(path, times), strict=True):
        np.testing.assert_array_equal(read(path, [time])[0], want)


def test_frames_left_out_of_an_avi_are_held(tmp_path):
    path = tmp_path / "gap.avi"
    # The muxer fills the half second before the second picture with empty chunks.
    write_video(path, fps=20, seconds=1, start=0.5)
    first, *later = read(path, [i / 20 for i in range(14)])
    for i, image in enumerate(later, start=1):
        assert (np.array_equal(image, first)) == (i < 11), i


def test_frames_of_variable_rate_are_held(tmp_path):
    path = tmp_path / "variable.mp4"
    stamps = [0, 10, 11, 50, 51, 52, 90]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for k, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 30 * k + 20, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = stamp, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    for stamp in range(91):
        level = 30 * (np.searchsorted(stamps, stamp, side="right") - 1) + 20
        (got,) = read(path, [stamp / 25])
        assert abs(int(got.mean()) - level) <= 3, stamp


def sound(path: Path, starts: list[float], seconds: float, rate: int) -> np.ndarray:
    media = (
        MediaFile(str(path), need_video=False) if path.suffix == ".wav" else MediaFile(str(path))
    )
    try:
        return read_sound(media, starts, seconds, rate)
    finally:
        media.close()


@pytest.mark.parametrize("name", WITH_SOUND)
def test_sound_equals_the_whole_track(media_dir, name):
    """Without resampling: the very samples, wherever reading starts."""
    path = media_dir / name
    begin, rate, track = all_sound(path)
    length = rate // 2
    rng = np.random.default_rng(3)
    firsts = [0, len(track) - length, *rng.integers(0, len(track) - length, 6).tolist()]
    got = sound(path, [begin + first / rate for first in firsts], 0.5, rate)
    for row, first in zip(got, firsts, strict=True):
        want = track[first : first + length]
        # AAC fills bands with noise from a generator that goes on from packet to packet.
        assert np.abs(row - want).max() <= 0.02 * np.abs(track).max()
        assert np.sqrt(((row - want) ** 2).mean()) <= 2e-3 * np.sqrt((track**2).mean())
    one_by_one = [sound(path, [begin + first / rate], 0.5, rate)[0] for first in firsts]
    for row, first in zip(one_by_one, firsts, strict=True):
        want = track[first : first + length]
        assert np.sqrt(((row - want) ** 2).mean()) <= 2e-2 * np.sqrt((track**2).mean()), first


def write_wav(path: Path, samples: np.ndarray, rate: int, subtype: str = "FLOAT") -> None:
    soundfile.write(path, samples, rate, subtype=subtype)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_resampling(tmp_path, rate):
    """Against scipy's polyphase filter, on noise both must keep; also between two samples."""
    rng = np.random.default_rng(4)
    smooth = firwin(401, 0.6 * min(rate, 24000) / rate)
    track = np.convolve(rng.uniform(-1, 1, 2 * rate), smooth, "same").astype(np.float32)
    path = tmp_path / "noise.wav"
    write_wav(path, track, rate)
    common = gcd(rate, 24000)
    for first in (0, 1, rate // 3, rate):
        want = resample_poly(track[first:].astype(np.float64), 24000 // common, rate // common)
        got = sound(path, [first / rate], 0.5, 24000)[0]
        assert got.shape == (12000,)
        edge = 200 if first == 0 else 0  # outside the track the one sees silence, the other not
        # Before the cut, scipy knows nothing of what we see there: compare away from it.
        difference = (got - want[:12000])[max(edge, 200) :]
        assert np.abs(difference).max() < 2e-3 * np.abs(want).max()
        lag = np.argmax(np.correlate(got, want[100:11900], "valid")) - 100
        assert lag == 0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_formats_and_silence_around(tmp_path, subtype):
    path = tmp_path / "tone.wav"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    write_wav(path, tone, 8000, subtype)
    got = sound(path, [-0.5, 0.5], 1.0, 8000)
    assert np.abs(got[0, :4000]).max() == 0
    np.testing.assert_allclose(got[0, 4000:], tone[:4000], atol=1 / 100)
    np.testing.assert_allclose(got[1, :4000], tone[4000:], atol=1 / 100)
    assert np.abs(got[1, 4000:]).max() == 0
    assert not sound(path, [5.0], 1.0, 8000).any()


def test_stereo_is_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    rng = np.random.default_rng(5)
    pair = rng.uniform(-1, 1, (48000, 2)).astype(np.float32)
    write_wav(path, pair, 48000)
    np.testing.assert_allclose(sound(path, [0.0], 1.0, 48000)[0], pair.mean(1), atol=1e-6)


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
def test_more_channels_are_all_heard_and_never_clip(tmp_path, channels):
    """Such a file does not say which channel is the low-frequency one, if any is."""
    path = tmp_path / "many.wav"
    for channel in range(channels):
        track = np.zeros((4800, channels), np.float32)
        track[:, channel] = 1
        write_wav(path, track, 48000)
        level = sound(path, [0.0], 0.1, 48000)[0, 2000]
        assert 0.02 < level < 1
    write_wav(path, np.ones((4800, channels), np.float32), 48000)
    assert sound(path, [0.0], 0.1, 48000).max() <= 1 + 1e-5


def test_overlapping_spans_equal_single_ones(media_dir):
    path = media_dir / "torchvision_videos/WUzgd7C1pWA.mp4"
    starts = [4.0, 0.2, 0.9, 9.0, 4.3]
    together = sound(path, starts, 1.0, 24000)
    for start, row in zip(starts, together, strict=True):
        alone = sound(path, [start], 1.0, 24000)[0]
        assert np.corrcoef(alone, row)[0, 1] > 0.999


def test_bytes_instead_of_a_path(media_dir):
    path = media_dir / "torchvision_videos/WUzgd7C1pWA.mp4"
    media = MediaFile("far/away.mp4", path.read_bytes())
    from_bytes = read_sound(media, [3.0], 1.0, 24000)
    found = []
    read_frames(media, [7.0], lambda times, frame: found.append(frame.to_ndarray(format="rgb24")))
    media.close()
    np.testing.assert_array_equal(found[0], read(path, [7.0])[0])
    np.testing.assert_allclose(from_bytes, sound(path, [3.0], 1.0, 24000), atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_a_file_that_breaks_off_serves_its_good_part_only(tmp_path, suffix):
    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    write_video(whole, seconds=8, gop=25, noise=np.random.default_rng(8))
    content = whole.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    np.testing.assert_array_equal(read(part, [1.0])[0], read(whole, [1.0])[0])
    media = MediaFile(str(part))
    promised = media.duration
    media.close()
    if suffix != ".mp4":
        # No header says how long it was, so what is there is all there is.
        assert 2 < promised < 6
        return
    assert promised > 7.5
    with pytest.raises(MediaError, match=r"part\.mp4: the picture breaks off at .* of 8\.00 s"):
        read(part, [7.0])
    with pytest.raises(MediaError, match=r"part\.mp4: no sound at 7\.00 of 8\.00 s"):
        sound(part, [7.0], 0.5, 24000)


def test_a_damaged_picture_is_refused_and_others_are_not(tmp_path):
    path = tmp_path / "damaged.mp4"
    rng = np.random.default_rng(6)
    write_video(path, seconds=6, gop=25, size=(320, 240), noise=rng)
    good = {time: read(path, [time])[0] for time in (0.5, 4.5)}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        spots = [
            (packet.pos, packet.size)
            for packet in container.demux(video)
            if packet.pts is not None and 2.2 <= packet.pts * video.time_base <= 2.6
        ]
    content = bytearray(path.read_bytes())
    for position, size in spots:
        content[position + size // 4 : position + size] = rng.bytes(size - size // 4)
    path.write_bytes(content)
    for time, image in good.items():
        np.testing.assert_array_equal(read(path, [time])[0], image)
    for time in (2.3, 2.5, 2.8):
        with pytest.raises(MediaError, match="damaged"):
            read(path, [time])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")
def test_no_handle_stays_open_and_memory_is_flat(media_dir):
    names = ["WUzgd7C1pWA.mp4", "SOX5yA1l24A.mp4", "v_SoccerJuggling_g23_c01.avi"]
    paths = [media_dir / "torchvision_videos" / name for name in names]
    paths += [media_dir / "nasty" / "decord__corrupted.mp4", media_dir / "nasty/openl3__empty.wav"]
    rng = np.random.default_rng(7)

    def load(path: Path) -> None:
        start = rng.uniform(0, 3)
        with contextlib.suppress(MediaError):
            read(path, [start + i / 30 for i in range(4)])
        with contextlib.suppress(MediaError):
            sound(path, [start], 0.5, 24000)

    levels = []
    for _ in range(4):
        for path in paths * 6:
            load(path)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        levels.append((len(list(Path("/proc/self/fd").iterdir())), pages * PAGE / 2**20))
    assert levels[-1][0] == levels[0][0]
    assert levels[-1][1] - levels[1][1] < 15, levels


def test_wrong_arguments_and_missing_files(tmp_path):
    with pytest.raises(ValueError, match="nothing to read"):
        MediaFile("a.mp4", need_video=False, need_audio=False)
    with pytest.raises(MediaError, match=r"gone\.mp4: cannot be opened .*No such file"):
        MediaFile(str(tmp_path / "gone.mp4"))
    with pytest.raises(MediaError, match="cannot be opened"):
        MediaFile("bytes", b"")
    write_video(tmp_path / "a:b 100%.mp4", seconds=1)
    MediaFile(str(tmp_path / "a:b 100%.mp4")).close()


def seen_by(media: MediaFile) -> dict:
    """What reading goes by."""
    kinds = ("video", "audio")
    streams = {kind: getattr(media, kind) for kind in kinds if getattr(media, kind) is not None}
    return dict(
        origin=media.origin,
        streams={kind: (s.index, s.start_time, s.time_base) for kind, s in streams.items()},
        rate=media.video.average_rate if media.video else media.audio.rate,
        duration=pytest.approx(media.duration, abs=0.05),
    )


def test_a_header_tells_what_probing_does(media_dir, monkeypatch):
    """Opened by its header alone, a file is the same as after FFmpeg's own look at it."""
    by_header = MediaFile._open_by_header
    for path in sorted(media_dir.rglob("*")):
        if not path.is_file() or path.suffix not in (".mp4", ".mov", ".3gp"):
            continue
        for need in [(True, True), (True, False), (False, True)]:
            found = []
            for method in (by_header, lambda self: False):
                monkeypatch.setattr(MediaFile, "_open_by_header", method)
                try:
                    media = MediaFile(str(path), None, *need)
                    found.append(seen_by(media))
                except MediaError as error:
                    found.append(str(error))
                    continue
                media.close()
            assert found[0] == found[1], path


def looked_closely(media: MediaFile) -> bool:
    """Whether FFmpeg tried the decoders at opening."""
    return "codec_whitelist" not in media.container.container_options


def test_opening_an_mp4_tries_no_decoder_but_reopening_does(media_dir):
    media = MediaFile(str(media_dir / "torchvision_videos/WUzgd7C1pWA.mp4"))
    assert not looked_closely(media)
    media.reopen()
    assert looked_closely(media)
    media.close()


def test_fragmented_mp4_and_several_tracks_are_looked_at_closely(tmp_path, media_dir):
    """Their headers do not tell the samples, or which track to take."""
    whole, parts = tmp_path / "whole.mp4", tmp_path / "parts.mp4"
    write_video(whole, seconds=4)
    remux(parts, whole, options={"movflags": "frag_keyframe+empty_moov"})
    for path in (parts, media_dir / "nasty/torchcodec__nasa_13013.mp4"):
        media = MediaFile(str(path))
        assert looked_closely(media)
        media.close()
    media = MediaFile(str(parts), need_video=False)
    assert media.origin == 0
    media.close()
    times = [0.1, 1.9, 3.5]
    for got, want in zip(read(parts, times), expected(whole, times), strict=True):
        np.testing.assert_array_equal(got, want)
