"""What the sheet and the small videos show is what the network gets."""

import runpy
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from matplotlib.image import imread
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from cmac_mm.datasets import AudioVisualDataset, MediaError, MediaFile
from cmac_mm.datasets.av_reader import read_frames, read_sound
from cmac_mm.utils import load_config
from cmac_mm.visualization import SeenClip, browse_sheet, look, save_clip

CLIP = "kinetics/arm_wrestling/ehLnj7pXnYE_000027_000037.mp4"
TOOL = ROOT / "tools/data/browse_dataset.py"


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


@pytest.fixture
def make_dataset(media_dir, tmp_path):
    def make(pipeline, names=(CLIP,), **kwargs):
        path = tmp_path / "list.txt"
        path.write_text("".join(f"{name} 1\n" for name in names))
        return AudioVisualDataset(str(path), pipeline, dict(video=str(media_dir)), **kwargs)

    return make


def pipeline_of(part, name="cmac_k400.py"):
    return load_config(f"cmac_mm::{name}")[f"{part}_dataloader"].dataset.pipeline


def preprocessor(**kwargs):
    kwargs = {"type": "AudioVisualDataPreprocessor", "audio_mean": -20, "audio_std": 9} | kwargs
    return MODELS.build(kwargs)


def test_frames_and_spectrograms_are_those_of_the_pipeline(make_dataset):
    dataset = make_dataset(pipeline_of("test"), test_mode=True)
    packed = dataset[0]
    clips = look(dataset, 0, preprocessor(), classes=["a", "arm wrestling"])
    assert len(clips) == 10
    for i, clip in enumerate(clips):
        # Normalised and back again: not a bit is lost.
        assert np.array_equal(clip.frames, packed["inputs"]["imgs"][i].permute(1, 2, 3, 0))
        mel = (packed["inputs"]["audio"][i, 0].numpy() + 20) / 9
        assert np.allclose(clip.log_mel, mel, atol=1e-5)
        start = packed["data_samples"].clip_start[i]
        assert np.allclose(clip.times, start + np.arange(32) / 30)
        assert (clip.audio_start, clip.audio_duration) == (start, 1.0)
        assert clip.waveform.shape == (24000,) and clip.sample_rate == 24000
        assert clip.title.startswith(f"{Path(CLIP).name}  ·  arm wrestling  ·  clip {i + 1} of 10")
    assert f"at {start:.2f} s of 10.0 s" in clip.title


def test_colour_jitter_is_seen_in_training_alone(make_dataset):
    fixed = [
        dict(type="OpenAudioVisual"),
        dict(type="SampleClips", duration=1.0, mode="uniform"),
        dict(type="DecodeAudioVisual", fps=8, short_side=64),
        dict(type="LogMelSpectrogram"),
        dict(type="PackAudioVisual"),
    ]
    dataset = make_dataset(fixed)
    plain = look(dataset, 0)[0].frames
    jittering = preprocessor(color_jitter=dict(hue=0.3, brightness=0.4))
    assert np.array_equal(look(dataset, 0, jittering)[0].frames, plain)
    torch.manual_seed(0)
    jittered = look(dataset, 0, jittering, training=True)[0].frames.astype(float)
    channel_means = (jittered - plain).mean(axis=(1, 2))
    assert np.abs(channel_means).max() > 5  # another colour
    assert channel_means.std(axis=0).max() < 4  # the same one in all frames of the clip


def test_two_clips_have_their_own_draws(make_dataset):
    np.random.seed(3)
    pipeline = pipeline_of("train", "cmac/cmac_ablation-within-both_8xb4-32x128-50e_k400.py")
    titles = [clip.title for _ in range(4) for clip in look(make_dataset(pipeline), 0)]
    assert len(titles) == 8 and all("clip 1 of 2" in title for title in titles[::2])
    flips = [tuple("flipped" in title for title in titles[k : k + 2]) for k in range(0, 8, 2)]
    assert len(set(flips)) > 1


def test_one_modality_alone(make_dataset):
    pictures = [
        dict(type="OpenAudioVisual", need_audio=False),
        dict(type="SampleClips", duration=0.5, num_clips=2, mode="uniform"),
        dict(type="DecodeAudioVisual", fps=8, short_side=32),
    ]
    recognizer = preprocessor(type="RecognizerDataPreprocessor")
    dataset = make_dataset([*pictures, dict(type="PackAudioVisual")])
    clips = look(dataset, 0, recognizer)
    assert [clip.frames.shape for clip in clips] == [(4, 32, 56, 3)] * 2
    assert clips[0].log_mel is None and clips[0].waveform is None
    # MMAction2's packing and preprocessor, which drop the times.
    mmaction = [
        *pictures,
        dict(type="FormatShape", input_format="NCTHW"),
        dict(type="PackActionInputs", meta_keys=("sample_idx",)),
    ]
    normalising = MODELS.build(dict(type="ActionDataPreprocessor", mean=[1] * 3, std=[2] * 3))
    same = look(make_dataset(mmaction), 0, normalising)
    for one, other in zip(clips, same, strict=True):
        assert np.array_equal(one.frames, other.frames) and one.title == other.title
    sound = [
        dict(type="OpenAudioVisual", need_video=False),
        dict(type="SampleClips", duration=1.0),
        dict(type="DecodeAudioVisual", short_side=16),
        dict(type="LogMelSpectrogram", num_mels=40),
        dict(type="PackAudioVisual"),
    ]
    for name in ("esc10_mini/audio/1-100032-A-0.ogg",):
        (clip,) = look(make_dataset(sound, [name]), 0, recognizer)
        assert clip.frames is None and clip.log_mel.shape == (40, 100)


def test_unusable_files_and_pipelines_are_refused(make_dataset):
    bad = "nasty/mp4parse__chunk_out_of_range.mp4"
    with pytest.raises(MediaError, match="chunk_out_of_range"):
        look(make_dataset(pipeline_of("train"), [bad]), 0)
    with pytest.raises(ValueError, match="no SampleClips"):
        look(make_dataset([dict(type="mmaction.PackActionInputs", collect_keys=())]), 0)


# ---- pictures


def plain_clip(colours, log_mel, **kwargs):
    frames = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in colours])
    times = 2 + np.arange(len(frames)) / 8
    return SeenClip("title", frames, times, log_mel, 2.0, 1.0, **kwargs)


def test_sheet_shows_frames_in_order_and_low_frequencies_below(tmp_path):
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    log_mel = np.full((40, 100), -60, np.float32)
    log_mel[:8, 50:] = 0  # low, in the second half
    path = tmp_path / "new/sheet.png"
    browse_sheet([plain_clip(colours, log_mel)] * 2, path, torch.linspace(50, 9000, 40), 3)
    picture = imread(path)[..., :3]
    height = picture.shape[0]
    inch = height / 2 / 1.75
    for row in range(2):
        middle = round(row * height / 2 + (0.26 + 1.25 / 2) * inch)
        for k, colour in enumerate(colours):
            pixel = picture[middle, round((0.625 + k * 1.28) * inch)]
            assert np.allclose(pixel, np.array(colour) / 255, atol=0.02)
        left = 3 * 1.28 + 0.5
        brightness = {
            (x, y): picture[
                round(row * height / 2 + (0.26 + 1.25 * y) * inch), round((left + 3.2 * x) * inch)
            ].mean()
            for x in (0.25, 0.75)
            for y in (0.1, 0.9)
        }
        assert brightness.pop((0.75, 0.9)) > 0.6
        assert max(brightness.values()) < 0.2
    assert not list(path.parent.glob(".*"))


def test_sheet_of_sound_or_picture_alone_and_of_nothing(tmp_path):
    sound = SeenClip("sound", log_mel=np.zeros((10, 20), np.float32), audio_duration=2.0)
    picture = plain_clip([(9, 9, 9)], None)
    sizes = {}
    for name, clips in dict(sound=[sound], picture=[picture], both=[sound, picture]).items():
        browse_sheet(clips, tmp_path / f"{name}.png")
        sizes[name] = imread(tmp_path / f"{name}.png").shape
    assert sizes["both"][0] == pytest.approx(2 * sizes["sound"][0], abs=1)
    assert sizes["both"][1] > max(sizes["sound"][1], sizes["picture"][1])
    with pytest.raises(ValueError, match="no clips"):
        browse_sheet([], tmp_path / "none.png")


# ---- videos


@pytest.mark.parametrize("offset", [0.0, 0.3, -0.3])
def test_video_has_the_frames_and_the_sound_at_its_time(tmp_path, offset):
    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(40, 200, (12, 4, 5, 3)), 8, 1), 8, 2).astype(np.uint8)
    frames = frames[:, :31]  # an odd height
    waveform = np.zeros(24000, np.float32)
    clicks = np.array([0.2, 0.55, 0.9])
    for click in clicks:
        at = round(click * 24000)
        waveform[at : at + 48] = 0.8
    clip = SeenClip("", frames, 7 + np.arange(12) / 12, None, 7 + offset, 1.0, waveform, 24000)
    path = tmp_path / "clip.mp4"
    save_clip(clip, path)
    begin = min(7, 7 + offset)
    with closing(MediaFile(str(path), None, True, True)) as media:
        # Times of our reader count from the first picture.
        assert media.duration == pytest.approx(1, abs=0.09)
        seen = {}
        read_frames(
            media,
            [(k + 0.5) / 12 for k in range(12)],
            lambda times, frame: seen.update(
                dict.fromkeys(times, frame.to_ndarray(format="rgb24"))
            ),
        )
        sound = read_sound(media, [begin - 7], 1.4, 24000)[0]
    error = np.stack(list(seen.values()))[:, :31].astype(float) - frames
    assert np.abs(error).mean() < 4
    for click in clicks + 7 + offset - begin:
        near = np.abs(sound[round((click - 0.05) * 24000) : round((click + 0.05) * 24000)])
        onset = np.flatnonzero(near > 0.3 * near.max())[0] / 24000 - 0.05
        assert near.max() > 0.4 and abs(onset) < 0.002
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_video_needs_pictures(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        save_clip(SeenClip("sound"), tmp_path / "x.mp4")


# ---- the tool


def test_tool_on_real_clips(media_dir, tmp_path, monkeypatch, capsys):
    ann_file = tmp_path / "list.txt"
    bad = "nasty/mp4parse__chunk_out_of_range.mp4"
    names = [CLIP, "torchvision_videos/R6llTwEh07w.mp4", bad]
    ann_file.write_text("".join(f"{name} 0\n" for name in names))
    out = tmp_path / "sheet.jpg"
    (tmp_path / "classes.txt").write_text("some class\n")
    arguments = ["cmac_mm::cmac_k400.py", "--num", 5, "--out", out, "--videos", tmp_path / "v"]
    arguments += ["--classes", tmp_path / "classes.txt", "--cfg-options"]
    arguments += [f"train_dataloader.dataset.ann_file={ann_file}"]
    arguments += [f"train_dataloader.dataset.data_prefix.video={media_dir}"]
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")
    printed = capsys.readouterr().out
    assert "not usable" in printed and bad in printed
    assert f"2 samples, 2 clips shown: {out}" in printed.replace("\n", " ").replace("  ", " ")
    assert imread(out).shape[1] > 1400
    videos = sorted((tmp_path / "v").iterdir())
    assert len(videos) == 2
    with closing(MediaFile(str(videos[0]), None, True, True)) as media:
        assert media.duration == pytest.approx(32 / 30, abs=0.04)
    ann_file.write_text(f"{CLIP} 0\n{CLIP} 1\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 2: label 1, expected 0 to 0 \(1 class"):
        runpy.run_path(str(TOOL), run_name="__main__")
