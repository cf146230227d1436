import csv
import hashlib
import io
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from cmac_mm.datasets import (
    AudioClipDataset,
    CropAudio,
    DecodeAudioVisual,
    LoadAudio,
    LogMelSpectrogram,
    MediaError,
    OpenAudioVisual,
    SampleClips,
)

RATE = 24000


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def pipeline(mode="uniform", num_clips=10, duration=2.0):
    return [
        dict(type="LoadAudio"),
        dict(type="SampleClips", duration=duration, num_clips=num_clips, mode=mode),
        dict(type="CropAudio"),
        dict(type="LogMelSpectrogram", num_mels=40),
        dict(type="PackAudioVisual"),
    ]


def clips_of(path, duration=2.0, num_clips=10, sample_rate=RATE):
    results = dict(filename=str(path))
    for step in (
        LoadAudio(sample_rate),
        SampleClips(duration, num_clips, mode="uniform"),
        CropAudio(),
    ):
        results = step(results)
    return results


def tone(rate=44100, seconds=5.0, hertz=440.0, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def test_real_files_against_plain_soundfile(media_dir):
    # At the file's own rate nothing is resampled: each clip is a slice of the file.
    files = sorted((media_dir / "esc50_wav").glob("*.wav"))
    files += sorted((media_dir / "esc10_mini/audio").glob("1-*.ogg"))[:3]
    assert len(files) == 7
    for path in files:
        sound, rate = soundfile.read(path, dtype="float32")
        results = clips_of(path, sample_rate=rate)
        assert results["waveform"].shape == (10, 2 * rate) and results["num_clips"] == 10
        last = len(sound) / rate - 2
        for i in range(10):
            start = round(i * last / 9 * rate)
            np.testing.assert_array_equal(
                results["waveform"][i], sound[start : start + 2 * rate], err_msg=f"{path} {i}"
            )


def test_resampling_keeps_a_tone_and_its_time(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(), 44100, subtype="FLOAT")
    waveform = clips_of(tmp_path / "a.wav")["waveform"]
    expected = tone(RATE)
    for i, start in enumerate(np.linspace(0, 3, 10)):
        part = expected[round(start * RATE) :][: 2 * RATE]
        inner = slice(200, -200)  # the filter's edges
        assert np.abs(waveform[i] - part)[inner].max() < 1e-4


def test_same_sound_as_the_data_path_of_videos(media_dir):
    # Other decoder, other resampler, and the clips start within half a sample of each other.
    path = str(next((media_dir / "esc50_wav").glob("4-102844*.wav")))
    mel = LogMelSpectrogram(num_mels=64)
    ours = mel(clips_of(path, num_clips=4))["audios"]
    results = dict(filename=path)
    sample = SampleClips(2.0, 4, mode="uniform")
    for step in (OpenAudioVisual(need_video=False), sample, DecodeAudioVisual(), mel):
        results = step(results)
    # Less the top bands, at the resamplers' upper edges.
    difference = (ours - results["audios"])[..., :60, :].abs()
    assert difference.mean() < 0.3  # dB


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_formats_decode_alike(tmp_path, suffix):
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 44100)
    soft = np.convolve(noise, np.ones(16) / 16, "same")
    soundfile.write(tmp_path / "a.wav", soft, 44100, subtype="PCM_16")
    pcm = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    path = tmp_path / f"b{suffix}"
    soundfile.write(path, pcm, 44100, **({} if suffix == ".ogg" else dict(subtype="PCM_16")))
    expected, got = (clips_of(p, 1.0, 3)["waveform"] for p in (tmp_path / "a.wav", path))
    if suffix == ".ogg":  # lossy
        assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.98
        assert np.std(got) == pytest.approx(np.std(expected), rel=0.05)
    else:
        np.testing.assert_array_equal(got, expected)


def test_channels_are_averaged(tmp_path):
    mono, other = tone(RATE), tone(RATE, hertz=1000)
    soundfile.write(tmp_path / "mono.wav", mono, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "same.wav", np.stack([mono, mono], 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "both.wav", np.stack([mono, other], 1), RATE, subtype="FLOAT")
    waveforms = {name: clips_of(tmp_path / f"{name}.wav")["waveform"] for name in ("mono", "same")}
    np.testing.assert_allclose(waveforms["same"], waveforms["mono"], atol=1e-7)
    both = clips_of(tmp_path / "both.wav", 5.0, 1)["waveform"][0]
    np.testing.assert_allclose(both, (mono + other) / 2, atol=1e-6)


def test_short_and_silent_recordings(tmp_path, media_dir):
    ramp = np.linspace(0.1, 0.9, RATE // 2, dtype=np.float32)
    soundfile.write(tmp_path / "short.wav", ramp, RATE, subtype="FLOAT")
    results = clips_of(tmp_path / "short.wav", num_clips=3)
    assert results["audio_start"] == [0.0, 0.0, 0.0]
    for clip in results["waveform"]:
        np.testing.assert_array_equal(clip[: len(ramp)], ramp)
        assert not clip[len(ramp) :].any()
    silence = clips_of(media_dir / "nasty/openl3__silence.wav")
    assert not silence["waveform"].any()
    assert LogMelSpectrogram(num_mels=40)(silence)["audios"].unique().tolist() == [-100.0]
    assert clips_of(media_dir / "nasty/openl3__short.wav")["waveform"].shape == (10, 48000)


def test_last_clip_stays_inside(tmp_path):
    # 5.0001 s: rounding starts and lengths on their own could reach one sample too far.
    soundfile.write(tmp_path / "a.wav", np.ones(44100 * 5 + 5), 44100, subtype="FLOAT")
    for duration in (1.0, 1.99997, 5.0):
        waveform = clips_of(tmp_path / "a.wav", duration, 7)["waveform"]
        assert (waveform[:, 100:-100] > 0.9).all()
        assert (waveform[-1, -3:] != 0).all()


def broken_files(folder, media):
    good = (media / "esc50_wav/4-102844-A-49.wav").read_bytes()
    (folder / "cut.wav").write_bytes(good[:100_000])
    (folder / "text.wav").write_text("no sound")
    (folder / "nothing.wav").write_bytes(b"")
    shutil.copy(media / "nasty/openl3__empty.wav", folder / "empty.wav")
    pcm, rate = soundfile.read(io.BytesIO(good), dtype="float32")
    soundfile.write(folder / "whole.flac", pcm, rate)
    flac = (folder / "whole.flac").read_bytes()
    (folder / "cut.flac").write_bytes(flac[: len(flac) // 2])
    pcm[70_000] = np.nan
    soundfile.write(folder / "nan.wav", pcm, rate, subtype="FLOAT")
    return {
        "cut.wav": r"breaks off at 1\.13 of 5\.00 s",
        "text.wav": "cannot be read as sound",
        "nothing.wav": "cannot be read as sound",
        "empty.wav": "length 0",
        "cut.flac": "cannot be read as sound|breaks off",
        "nan.wav": "no numbers",
        "missing.wav": "no such file",
    }


def test_broken_files_are_named(tmp_path, media_dir):
    for name, reason in broken_files(tmp_path, media_dir).items():
        (tmp_path / "list.txt").write_text(f"{name} 0\n")
        prefix = dict(audio=str(tmp_path))
        dataset = AudioClipDataset(str(tmp_path / "list.txt"), pipeline()[:1], prefix)
        with pytest.raises(MediaError, match=reason) as caught:
            dataset[0]
        assert caught.value.filename == str(tmp_path / name)
    # A header without a length, as written into a pipe, is no damage.
    raw = bytearray((media_dir / "esc50_wav/4-102844-A-49.wav").read_bytes())
    raw[4:8] = raw[40:44] = b"\xff" * 4
    (tmp_path / "stream.wav").write_bytes(raw)
    assert clips_of(tmp_path / "stream.wav")["total_duration"] == 5.0


@pytest.fixture(scope="module")
def esc10_lists(media_dir, tmp_path_factory):
    """The five folds of the ESC-10 files, with classes 0 to 9."""
    folder = tmp_path_factory.mktemp("esc10")
    with (media_dir / "esc10_mini/meta/esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    targets = sorted({int(row["target"]) for row in rows})
    for fold in range(1, 6):
        lines = [
            f"{row['filename']} {targets.index(int(row['target']))}\n"
            for row in rows
            if int(row["fold"]) == fold
        ]
        (folder / f"esc10_fold{fold}.txt").write_text("".join(lines))
    return [str(folder / f"esc10_fold{fold}.txt") for fold in range(1, 6)]


def test_several_lists_are_folds(esc10_lists, media_dir):
    prefix = dict(audio=str(media_dir / "esc10_mini/audio"))
    dataset = AudioClipDataset(esc10_lists, pipeline(), prefix, test_mode=True)
    lines = [line for path in esc10_lists for line in Path(path).read_text().splitlines()]
    paths = "".join(line.rsplit(" ", 1)[0] + "\n" for line in lines)
    expected = len(lines), hashlib.sha256(paths.encode()).digest()
    assert dataset.list_size_and_digest() == expected
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info["fold"] for info in infos] == [f for f in range(1, 6) for _ in range(10)]
    assert [info["sample_idx"] for info in infos] == list(range(50))
    for fold in (1, 4):
        single = AudioClipDataset(esc10_lists[fold - 1], pipeline(), prefix)
        names = [single.get_data_info(i)["filename"] for i in range(10)]
        assert names == [info["filename"] for info in infos if info["fold"] == fold]
    sample = dataset[23]
    assert sample["inputs"]["audio"].shape == (10, 1, 40, 200)
    assert sample["data_samples"].gt_label.item() == infos[23]["label"]
    assert sample["data_samples"].sample_idx == 23


def test_errors_name_the_list(esc10_lists, tmp_path):
    (tmp_path / "bad.txt").write_text("a.wav 0\nb.wav dog\n")
    with pytest.raises(ValueError, match=r"bad\.txt, line 2"):
        AudioClipDataset([esc10_lists[0], str(tmp_path / "bad.txt")], pipeline())
    with pytest.raises(ValueError, match="names no list"):
        AudioClipDataset([], pipeline())
    with pytest.raises(ValueError, match="sample_rate"):
        LoadAudio(0)


def load_all(lists, prefix, workers, mode, batch_size):
    loader = Runner.build_dataloader(
        dict(
            batch_size=batch_size,
            num_workers=workers,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
            dataset=dict(
                type="AudioClipDataset",
                ann_file=lists,
                data_prefix=prefix,
                pipeline=pipeline(mode),
                test_mode=True,
            ),
        ),
        seed=0,
    )
    return torch.cat([batch["inputs"]["audio"] for batch in loader])


def test_workers_and_batches_change_nothing(esc10_lists, media_dir):
    prefix = dict(audio=str(media_dir / "esc10_mini/audio"))
    first = load_all(esc10_lists[:2], prefix, 0, "uniform", 3)
    assert torch.equal(load_all(esc10_lists[:2], prefix, 2, "uniform", 8), first)


def test_ogg_against_another_decoder(media_dir):
    for path in sorted((media_dir / "esc10_mini/audio").glob("1-1*.ogg")):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        reference = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        sound = LoadAudio(frames[0].sample_rate)(dict(filename=str(path)))["sound"]
        assert abs(len(sound) - len(reference)) < 1024, path  # less than a packet at the end
        count = min(len(sound), len(reference))
        assert np.abs(sound[:count] - reference[:count]).max() < 1e-3, path
