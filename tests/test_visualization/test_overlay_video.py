"""Overlays and pictures of real files, looked at as a player would show them."""

from contextlib import closing
from itertools import pairwise

import av
import numpy as np
import pytest
from helpers.media_tools import write_video
from matplotlib import colormaps
from PIL import Image

from cmac_mm.datasets import AVIDSpectrogram, GDTSpectrogram, LogMelSpectrogram
from cmac_mm.datasets.av_reader import MediaFile, read_sound, stream_frames
from cmac_mm.features import VideoResult
from cmac_mm.visualization import overlay_video, video_figure
from cmac_mm.visualization.overlay_video import _LEAST_WIDTH
from cmac_mm.visualization.spectrogram_strip import row_centres

KINETICS = "kinetics/bungee_jumping/zkXOcxGnUhs_000025_000035.mp4"
SILENT = "nasty/ucf101__v_BaseballPitch_g06_c04.avi"  # 320x240
SPECTROGRAM = LogMelSpectrogram(num_mels=64)


def make_result(path, modalities=("visual", "audio"), region=(0, 0, 1, 1), stride=0.5):
    """Attention in the lower left of the picture and at the third of four bands of sound."""
    with closing(
        MediaFile(str(path), need_video="visual" in modalities, need_audio="audio" in modalities)
    ) as media:
        duration = media.duration
    starts = stride * np.arange(max(1, int((duration - 1) / stride) + 1))
    visual = np.full((len(starts), 2, 6, 6), 0.5, np.float32)
    visual[..., 4, 1] = 0.6
    audio = np.full((len(starts), 4, 3), 0.5, np.float32)
    audio[:, 2] = 0.6
    fields = {}
    if "visual" in modalities:
        fields["predicted_visual_attention"] = visual
    if "audio" in modalities:
        fields["predicted_audio_attention"] = audio
    if len(modalities) == 2:
        fields |= dict(guided_visual_attention=visual, guided_audio_attention=audio)
    return VideoResult(
        str(path),
        "a model",
        path=str(path),
        duration=duration,
        starts=starts,
        clip_seconds=dict.fromkeys(modalities, 1.0),
        region=region,
        fields=fields,
    )


def read_all(path):
    """Times and pictures of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], [f.to_ndarray(format="rgb24") for f in frames]


def shown(path, **needs):
    with closing(MediaFile(str(path), **needs)) as media:
        return [(time, frame.width, frame.height) for time, frame in stream_frames(media)]


@pytest.fixture(scope="module")
def kinetics(media_dir, tmp_path_factory):
    """An overlay with sound, of 30000 / 1001 frames a second."""
    path = tmp_path_factory.mktemp("overlay") / "kinetics.mp4"
    overlay_video(make_result(media_dir / KINETICS), path, SPECTROGRAM)
    return path


@pytest.mark.parametrize("name", [KINETICS, SILENT])
def test_frames_are_those_of_the_source(name, media_dir, kinetics, tmp_path):
    sounds, path, done = name == KINETICS, kinetics, []
    source = shown(media_dir / name, need_audio=False)
    if not sounds:
        path = tmp_path / "out.mp4"
        result = make_result(media_dir / name, ("visual",))
        overlay_video(result, path, SPECTROGRAM, progress=done.append)
        assert done == [time for time, _, _ in source]
    times, pictures = read_all(path)
    np.testing.assert_allclose(times, [time for time, _, _ in source], atol=1e-4)
    _, width, height = source[0]
    assert pictures[0].shape[1] == max(width, _LEAST_WIDTH) and pictures[0].shape[0] > height
    with av.open(str(path)) as out, av.open(str(media_dir / name)) as plain:
        rates = [container.streams.video[0].average_rate for container in (out, plain)]
        assert float(rates[0]) == pytest.approx(float(rates[1]), rel=1e-3)
        kinds = [stream.codec_context.name for stream in out.streams]
    assert kinds == (["h264", "aac"] if sounds else ["h264"])


def test_sound_stays_where_it_was(media_dir, kinetics):
    waves = []
    for path in (media_dir / KINETICS, kinetics):
        with closing(MediaFile(str(path))) as media:
            waves.append(read_sound(media, [0.0], 9.5, 8000)[0])
    spectra = [np.fft.rfft(wave, 1 << 18) for wave in waves]
    correlation = np.fft.irfft(spectra[0].conj() * spectra[1])
    lag = (np.argmax(correlation) + (1 << 17)) % (1 << 18) - (1 << 17)
    assert abs(lag) <= 8000 * 0.002
    assert np.corrcoef(*waves)[0, 1] > 0.9


def test_heat_lies_where_attention_is(media_dir, kinetics):
    _, pictures = read_all(kinetics)
    with closing(MediaFile(str(media_dir / KINETICS), need_audio=False)) as media:
        _, frame = next(stream_frames(media))
        plain = frame.to_ndarray(format="rgb24").astype(float)
    height, width = plain.shape[:2]
    hot = pictures[0][int(height * 4.5 / 6), int(width * 1.5 / 6)].astype(float)
    top = 255 * np.array(colormaps["inferno"](1.0)[:3])
    assert np.abs(hot - top).max() < 60
    cold = pictures[0][: height // 2, width // 2 :].astype(float)
    scene = plain[: height // 2, width // 2 :]
    assert np.corrcoef(cold.ravel(), scene.ravel())[0, 1] > 0.95
    # The spectrogram has heat at the third of four bands, and a white cursor that moves on.
    strip = pictures[0][height:]
    warm = np.argmax((strip[..., 0].astype(float) - strip[..., 2]).mean(axis=1)[20:]) + 20
    box = np.flatnonzero((strip.min(axis=2) < 200).mean(axis=1) > 0.5)
    assert box[0] + 0.15 * len(box) < warm < box[0] + 0.6 * len(box)
    middle = (box[0] + box[-1]) // 2
    cursors = []
    for picture in pictures[30:-1:40]:
        row = picture[height + middle - 8 : height + middle + 8].min(axis=(0, 2))
        inside = row[width // 10 : -width // 20].astype(int)
        cursors.append(inside.argmax())
    assert all(b > a for a, b in pairwise(cursors)), cursors


def test_what_the_network_does_not_see_is_darker(media_dir, tmp_path):
    means = []
    for region in ((0.25, 0, 0.5, 1), (0, 0, 1, 1)):
        result = make_result(media_dir / SILENT, ("visual",), region)
        overlay_video(result, tmp_path / "out.mp4", SPECTROGRAM)
        means.append(read_all(tmp_path / "out.mp4")[1][5][:240].mean(axis=(0, 2)))
    seen, outside = np.r_[130:190], np.r_[0:70, 250:320]
    assert 0.4 < (means[0][outside] / means[1][outside]).mean() < 0.6
    assert 0.9 < (means[0][seen] / means[1][seen]).mean() < 1.1


@pytest.mark.parametrize(
    "name",
    ["nasty/decord__video_90.mov", "nasty2/sar.mpg", "nasty2/late.mp4", "nasty2/p_hflip.mp4"],
)
def test_odd_files(name, media_dir, tmp_path):
    path = media_dir / name
    try:
        with closing(MediaFile(str(path))):
            modalities = ("visual", "audio")
    except ValueError:
        modalities = ("visual",)
    overlay_video(make_result(path, modalities), tmp_path / "out.mp4", SPECTROGRAM)
    times, _ = read_all(tmp_path / "out.mp4")
    assert len(times) >= 3 and times == sorted(set(times))
    if "90" in name:  # stored lying, shown upright
        stored = shown(path, need_audio=False)[0][1:]
        with Image.fromarray(read_all(tmp_path / "out.mp4")[1][0]) as picture:
            assert stored[0] > stored[1] and picture.height > picture.width


def test_files_longer_than_a_page(tmp_path):
    write_video(tmp_path / "long.mp4", fps=10, seconds=23.0, size=(64, 48))
    result = make_result(tmp_path / "long.mp4", stride=1.0)
    overlay_video(result, tmp_path / "out.mp4", SPECTROGRAM, kind="predicted")
    times, pictures = read_all(tmp_path / "out.mp4")
    assert len(times) == 230
    strips = [picture[48:].astype(int) for picture in pictures]
    changed = [np.abs(a - b).mean() for a, b in pairwise(strips)]
    assert set(np.argsort(changed)[-2:]) == {99, 199}  # the pages turn


def test_refusals(media_dir, tmp_path):
    result = make_result(media_dir / "grid_mini/bbaf2n.mpg")
    with pytest.raises(ValueError, match=r"ends in \.mp4"):
        overlay_video(result, tmp_path / "a.avi", SPECTROGRAM)
    with pytest.raises(ValueError, match="'guided' or 'predicted', got 'both'"):
        overlay_video(result, tmp_path / "a.mp4", SPECTROGRAM, kind="both")
    with pytest.raises(ValueError, match=r"start=9\.0: .*bbaf2n\.mpg has 3\.00 s"):
        video_figure(result, tmp_path / "a.png", SPECTROGRAM, start=9.0)
    sound = make_result(media_dir / "grid_mini/bbaf2n.mpg", ("audio",))
    with pytest.raises(ValueError, match="has no picture to lay attention over"):
        overlay_video(sound, tmp_path / "a.mp4", SPECTROGRAM)
    result.fields = dict(visual_feature=np.zeros((3, 4)))
    for draw, name in ((overlay_video, "a.mp4"), (video_figure, "a.png")):
        with pytest.raises(
            ValueError, match="gives no attention maps to draw, only visual_feature"
        ):
            draw(result, tmp_path / name, SPECTROGRAM)
    assert not list(tmp_path.iterdir())


def test_rows_of_other_spectrograms():
    """A tone lies in the row whose frequency is its own."""
    for spectrogram in (SPECTROGRAM, AVIDSpectrogram(), GDTSpectrogram()):
        rows = row_centres(spectrogram)
        assert (rows.diff() >= 0).all()
        tone = np.sin(2 * np.pi * 3000 * np.arange(24000) / 24000).astype(np.float32)[None]
        found = spectrogram.transform(dict(waveform=tone, sample_rate=24000))["audios"][0, 0]
        loudest = found.mean(dim=1).argmax()
        assert rows[loudest] == pytest.approx(3000, rel=0.05), type(spectrogram)


@pytest.mark.parametrize("modalities", [("visual", "audio"), ("visual",), ("audio",)])
def test_figure(modalities, media_dir, tmp_path):
    path = media_dir / KINETICS
    result = make_result(path, modalities, region=(0.1, 0, 0.8, 1))
    video_figure(result, tmp_path / "a.png", SPECTROGRAM, num_frames=3, note="a note")
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    # Heat beside grey: yellow is where attention is.
    yellow = (pixels[..., 0] > 200) & (pixels[..., 1] > 150) & (pixels[..., 2] < 150)
    assert yellow[:, : int(0.9 * pixels.shape[1])].sum() > 50
