"""What a file causes is a MediaError that names it; what a program does wrong is not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.video.reformatter import VideoReformatter
from helpers.media_tools import RATE, write_pictures, write_video
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope

from cmac_mm.datasets import AudioVisualDataset, LoadAudio, MediaError
from cmac_mm.datasets.av_reader import MediaFile, read_frames, read_sound
from cmac_mm.preparation import EncodeSettings, encode_video
from cmac_mm.preparation.check import Criteria, check_file

# Codes of ITU-T H.273 that FFmpeg converts: RGB, 709, not said, FCC, 601 (twice), 240M, 2020.
CONVERTED = (0, 1, 2, 4, 5, 6, 7, 9)


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


def pictures(path: Path, matrix: int = 1, pixel_format: str = "yuv420p") -> None:
    def set_up(stream: av.VideoStream) -> None:
        stream.codec_context.colorspace = matrix

    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for _ in range(30)]
    frames = [frame.reformat(format=pixel_format) for frame in frames]
    for frame in frames:
        frame.colorspace = matrix
    write_pictures(path, "libx264", frames, {"preset": "ultrafast"}, set_up)


def load(path: Path, **options: object) -> dict:
    pipeline = Compose(
        [
            dict(type="OpenAudioVisual", need_audio=False),
            dict(type="SampleClips", duration=0.5, mode="uniform"),
            dict(type="DecodeAudioVisual", fps=25, **options),
        ]
    )
    return pipeline(dict(filename=str(path)))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("matrix", range(15))
def test_colour_matrices(tmp_path, matrix, pixel_format):
    """The checker, loading in both its ways, and preparation convert the same ones."""
    path = tmp_path / "made.mp4"
    pictures(path, matrix, pixel_format)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace in (matrix, 2)  # 2: no such code
        good = next(container.decode(video=0)).colorspace in CONVERTED
    crop = [dict(type="CenterCrop", crop_size=32)]
    for options in (dict(), dict(short_side=32), dict(short_side=32, transforms=crop)):
        if good:
            load(path, **options)
            continue
        with pytest.raises(MediaError, match=f"colour matrix {matrix} ") as caught:
            load(path, **options)
        assert caught.value.filename == str(path)
        assert isinstance(caught.value.__cause__, av.FFmpegError)
    report = check_file(path, path.name, Criteria(need="picture"))
    assert report.verdict == ("ok" if good else "bad")
    if good:
        encode_video(path, tmp_path / "prepared.mp4", EncodeSettings(short_side=32))
    else:
        assert f"colour matrix {matrix} " in report.reason
        with pytest.raises(MediaError, match=f"colour matrix {matrix} "):
            encode_video(path, tmp_path / "prepared.mp4", EncodeSettings(short_side=32))


def test_training_goes_on_and_lists_each_bad_file_once(tmp_path):
    sound = 0.3 * np.random.default_rng(0).standard_normal((1, 3 * RATE)).astype(np.float32)
    write_video(tmp_path / "good.mp4", sound=sound)
    pictures(tmp_path / "unconverted.mp4", matrix=8)
    (tmp_path / "list.txt").write_text("good.mp4\nunconverted.mp4\nmissing.mp4\n")
    dataset = AudioVisualDataset(
        str(tmp_path / "list.txt"),
        pipeline=[
            dict(type="OpenAudioVisual", need_audio=False),
            dict(type="SampleClips", duration=0.5),
            dict(type="DecodeAudioVisual", fps=25, short_side=32),
        ],
        data_prefix=dict(video=str(tmp_path)),
    )
    dataset.bad_files.path = tmp_path / "bad.txt"
    for _ in range(5):
        for row in range(3):
            assert dataset[row]["filename"].endswith("good.mp4")
    bad = (tmp_path / "bad.txt").read_text().splitlines()
    assert sorted(line.split("\t")[0] for line in bad) == [
        str(tmp_path / "missing.mp4"),
        str(tmp_path / "unconverted.mp4"),
    ]
    assert any("colour matrix 8" in line for line in bad)


def errors_of_ffmpeg() -> list[type[Exception]]:
    kinds = {kind for kind in vars(av.error).values() if isinstance(kind, type)}
    return sorted((k for k in kinds if issubclass(k, av.FFmpegError)), key=lambda k: k.__name__)


@pytest.fixture(scope="module")
def good_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    write_video(path)
    return path


@pytest.mark.parametrize("kind", [*errors_of_ffmpeg(), MemoryError], ids=lambda kind: kind.__name__)
def test_all_errors_of_ffmpeg_name_the_file(good_file, kind):
    error = kind(22, "it does not go") if issubclass(kind, av.FFmpegError) else kind("too large")

    def sink(times: list[float], frame: av.VideoFrame) -> None:
        raise error

    media = MediaFile(str(good_file))
    try:
        with pytest.raises(MediaError) as caught:
            read_frames(media, [1.0], sink)
    finally:
        media.close()
    assert caught.value.filename == str(good_file)
    assert caught.value.__cause__ is error
    assert kind.__name__ in caught.value.reason


@pytest.mark.parametrize(
    "kind", [TypeError, AttributeError, NameError, KeyError, IndexError, ValueError, OSError]
)
def test_faults_of_programs_come_through(good_file, kind):
    """Also an OSError that is not FFmpeg's, as of a full disk that pictures are written to."""

    def sink(times: list[float], frame: av.VideoFrame) -> None:
        raise kind("ours")

    media = MediaFile(str(good_file))
    try:
        with pytest.raises(kind, match="ours") as caught:
            read_frames(media, [1.0], sink)
        assert type(caught.value) is kind
        for name, value in (("format", "no such format"), ("interpolation", "NONE SUCH")):

            def convert(times: list[float], frame: av.VideoFrame, wrong=((name, value),)) -> None:
                VideoReformatter().reformat(frame, **dict(wrong))

            with pytest.raises((ValueError, KeyError)) as caught:
                read_frames(media, [1.0], convert)
            assert not isinstance(caught.value, MediaError)
        with pytest.raises(TypeError):
            read_sound(media, ["0"], 1.0, 24000)
        with pytest.raises(AttributeError):
            read_sound(None, [0.0], 1.0, 24000)
    finally:
        media.close()


@TRANSFORMS.register_module()
class Misspelt:
    def __call__(self, results: dict) -> dict:
        return results["no such key"]


def test_a_fault_in_a_transform_ends_training(good_file, tmp_path):
    (tmp_path / "list.txt").write_text(f"{good_file}\n")
    opening = dict(type="OpenAudioVisual")
    dataset = AudioVisualDataset(str(tmp_path / "list.txt"), [opening, dict(type=Misspelt)])
    with pytest.raises(KeyError, match="no such key"):
        dataset[0]


def write_track(path: Path, track: np.ndarray, layout: str, codec: str = "pcm_f32le") -> None:
    """A sound file `(samples, channels)` at 8 kHz that names its layout, as far as it can."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=8000, layout=layout)
        packet = av.Packet(np.ascontiguousarray(track, np.float32).tobytes())
        packet.stream, packet.time_base = stream, Fraction(1, 8000)
        packet.pts = packet.dts = 0
        packet.duration = len(track)
        out.mux(packet)


def levels(path: Path, channels: int, layout: str) -> list[float]:
    """What is heard of each channel alone."""
    found = []
    for channel in range(channels):
        track = np.zeros((800, channels))
        track[:, channel] = 1
        write_track(path, track, layout)
        found.append(float(heard(path)[400]))
    return found


def heard(path: Path) -> np.ndarray:
    media = MediaFile(str(path), need_video=False)
    try:
        return read_sound(media, [0.0], 0.1, 8000)[0]
    finally:
        media.close()


@pytest.mark.parametrize("suffix", [".wav", ".mov", ".mkv"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 8, 9, 16, 24])
def test_channels_without_places_are_averaged(tmp_path, channels, suffix):
    """No channel is taken for the low-frequency one, which would not be heard."""
    path = tmp_path / f"many{suffix}"
    assert levels(path, channels, f"{channels} channels") == pytest.approx(
        [1 / channels] * channels
    )


@pytest.mark.parametrize(
    ("layout", "low"), [("2.1", 2), ("3.0", None), ("5.1", 3), ("quad", None), ("7.1", 3)]
)
def test_channels_with_places_are_mixed_as_ffmpeg_does(tmp_path, layout, low):
    channels = av.AudioLayout(layout).nb_channels
    path = tmp_path / "many.wav"
    found = levels(path, channels, layout)
    assert sum(found) == pytest.approx(1, abs=1e-5)
    assert all((level == 0) == (channel == low) for channel, level in enumerate(found))


def test_places_that_ffmpeg_cannot_mix_are_averaged(tmp_path):
    """Of loudspeakers above the head and below the feet alone, which nothing gives weights."""
    path = tmp_path / "odd.wav"
    assert levels(path, 3, "TFL+TFR+TBC") == pytest.approx([1 / 3] * 3)
    assert levels(path, 2, "FL+LFE") == pytest.approx([1 / 2] * 2)


def test_of_an_ambisonic_track_the_channel_of_all_directions_is_heard(tmp_path):
    """The mean of all would be silent here: a source behind, on the right, below."""
    path = tmp_path / "around.mkv"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    track = np.stack([tone, -tone / 3, -tone / 3, -tone / 3], axis=1).astype(np.float32)
    with av.open(str(path), "w") as out:
        options = {"mapping_family": "2"}
        stream = out.add_stream("libopus", rate=RATE, layout="ambisonic 1", options=options)
        frame = av.AudioFrame.from_ndarray(track.reshape(1, -1), "flt", "ambisonic 1")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        out.mux(stream.encode(frame) + stream.encode(None))
    assert np.abs(heard(path)[400:]).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("order", ["FL+FL", "FR+FL"])
def test_channels_out_of_order(tmp_path, order):
    """Twice the left one, as in recordings of two microphones: PyAV crashes on the layout."""
    path = tmp_path / "twice.mov"
    name = _mov_with_labels(path, order)
    assert heard(path)[400] == pytest.approx(0.5, abs=1e-4)
    assert check_file(path, name, Criteria(need="sound")).verdict == "ok"


def _mov_with_labels(path: Path, order: str) -> str:
    """A stereo track, left channel 1 and right channel 0, whose `chan` box labels its channels."""
    track = np.tile([1.0, 0.0], (8000, 1))
    write_track(path, track, "FL+FR")
    data = path.read_bytes()
    labels = [{"FL": 1, "FR": 2}[name] for name in order.split("+")]
    at = data.index(b"chan")
    size = int.from_bytes(data[at - 4 : at], "big")
    words = [0, 0, 0, len(labels)]  # version; layout by descriptions; no bitmap; their number
    box = b"".join(word.to_bytes(4, "big") for word in words)
    box += b"".join(label.to_bytes(4, "big") + bytes(16) for label in labels)
    grown = len(box) + 8 - size
    data = (
        data[: at - 4] + (len(box) + 8).to_bytes(4, "big") + b"chan" + box + data[at - 4 + size :]
    )
    # The boxes around it grow, too; the sound lies before them.
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = data.rindex(kind, 0, at) - 4
        larger = int.from_bytes(data[place : place + 4], "big") + grown
        data = data[:place] + larger.to_bytes(4, "big") + data[place + 4 :]
    entry = data.index(b"stsd") + 12
    larger = int.from_bytes(data[entry : entry + 4], "big") + grown
    path.write_bytes(data[:entry] + larger.to_bytes(4, "big") + data[entry + 4 :])
    return path.name


@pytest.mark.parametrize("container", sorted(soundfile.available_formats()))
def test_every_kind_of_sound_file(tmp_path, container):
    """Those that libsndfile writes, through both readers: heard, or refused by name."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 8000)
    for codec in sorted(soundfile.available_subtypes(container)):
        path = tmp_path / f"{codec}.{container.lower()}"
        try:
            soundfile.write(path, tone, 8000, subtype=codec, format=container)
        except soundfile.LibsndfileError:
            continue  # read only
        for read in (lambda path: LoadAudio(8000)(dict(filename=str(path)))["sound"], heard):
            try:
                sound = read(path)
            except MediaError as error:
                assert error.filename == str(path)
                assert codec != "GSM610" or container == "RAW"
                continue
            # XI does not say its rate.
            assert container == "XI" or len(sound) in (800, *range(15800, 16400))
            assert 0.2 < np.abs(sound).max() <= 1


def test_a_wav_named_raw_is_read_and_a_headerless_one_refused(tmp_path):
    path = tmp_path / "sound.raw"
    soundfile.write(path, np.ones(800) / 2, 8000, format="WAV")
    assert LoadAudio(8000)(dict(filename=str(path)))["sound"] == pytest.approx(0.5, abs=0.1)
    path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(MediaError, match=r"sound\.raw: cannot be read as sound"):
        LoadAudio(8000)(dict(filename=str(path)))


@pytest.mark.parametrize("rate", [1, 50, 2_000_000_000])
def test_sampling_rates_that_no_recording_has(tmp_path, rate):
    """At 24 kHz, a second of it would fill the memory, or be nothing."""
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.ones(8000) / 2, 8000, format="WAV")
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(MediaError, match=f"sound.wav: .*{rate}"):
        LoadAudio(24000)(dict(filename=str(path)))
    with pytest.raises(MediaError, match=f"sound.wav: .*{rate}"):
        heard(path)


def test_streams_that_nobody_knew_of_when_the_file_was_opened(tmp_path):
    """Tracks that a transport stream has in its middle only, where FFmpeg does not look first."""
    parts = []
    for first, seconds, tracks in ((0, 8, 0), (200, 2, 8), (250, 12, 0)):
        path = tmp_path / f"{first}.ts"
        with av.open(str(path), "w") as out:
            video = out.add_stream("mpeg2video", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            sounds = [out.add_stream("mp2", rate=RATE, layout="mono") for _ in range(tracks)]
            packets = []
            for k in range(25 * seconds):
                noise = np.random.default_rng(k).integers(0, 255, (48, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
                frame.pts, frame.time_base = first + k, Fraction(1, 25)
                packets += video.encode(frame)
            for stream in sounds:
                for k in range(40 * seconds):
                    frame = av.AudioFrame.from_ndarray(np.ones((1, 1152), np.int16), "s16", "mono")
                    frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                    frame.pts = first * RATE // 25 + 1152 * k
                    packets += stream.encode(frame)
            for stream in (video, *sounds):
                packets += stream.encode(None)
            for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                out.mux(packet)
        parts.append(path.read_bytes())
    filler = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 1000
    path = tmp_path / "all.ts"
    path.write_bytes(parts[0] + 30 * filler + parts[1] + 3 * filler + parts[2])
    with av.open(str(path)) as container, pytest.raises(IndexError):  # what PyAV makes of it
        assert len(container.streams) == 1
        for _ in container.demux(video=0):
            pass
    assert check_file(path, path.name, Criteria(need="picture", full=True)).verdict == "ok"
    assert load(path)["total_duration"] == pytest.approx(22, abs=0.1)


def test_a_file_that_this_user_may_not_read(tmp_path):
    path = tmp_path / "folder.wav"
    path.mkdir()
    with pytest.raises(MediaError, match=r"folder\.wav"):
        LoadAudio(8000)(dict(filename=str(path)))
    with pytest.raises(MediaError, match=r"folder\.wav"):
        heard(path)


def test_lengths_beyond_all_numbers(tmp_path):
    """FFmpeg takes the length of such a file for 10^15 s; a seek there does not fit its numbers."""
    path = tmp_path / "sound.w64"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 8000)
    soundfile.write(path, tone, 8000, subtype="MS_ADPCM", format="W64")
    media = MediaFile(str(path), need_video=False)
    try:
        for start in (0.0, 1.0, 1e15, 1e18):
            try:
                assert read_sound(media, [start], 0.5, 8000).shape == (1, 4000)
            except MediaError as error:
                assert error.filename == str(path)
    finally:
        media.close()
