"""AVID's spectrogram against librosa, band by band."""

import json

import librosa
import numpy as np
import pytest
import torch

from cmac_mm.datasets import AVIDSpectrogram, VolumeJitter

RATE = 24000


def spectrogram(waveform, **kwargs):
    transform = AVIDSpectrogram(**kwargs)
    return transform(dict(waveform=waveform, sample_rate=transform.sample_rate))["audios"]


def sounds(seconds, seed=0):
    """Noise that fades by 120 dB in one clip and by 40 dB in the other."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    fade = np.stack([np.logspace(0, -6, samples), np.logspace(-1, -3, samples)])
    return (rng.standard_normal((2, samples)) * fade).astype(np.float32)


@pytest.mark.parametrize("seconds", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("kwargs", [{}, dict(n_fft=512, hop_length=480, top_db=60.0)])
def test_against_librosa(seconds, kwargs):
    settings = dict(n_fft=1024, hop_length=240, top_db=100.0) | kwargs
    waveform = sounds(seconds)
    got = spectrogram(waveform, **kwargs)
    num_bands, frames = settings["n_fft"] // 4 + 1, round(seconds * RATE) // settings["hop_length"]
    assert got.shape == (2, 1, num_bands, frames) and got.dtype == torch.float32
    for clip, sound in zip(got[:, 0].numpy(), waveform, strict=True):
        stft = librosa.stft(
            sound.astype(np.float64),
            n_fft=settings["n_fft"],
            hop_length=settings["hop_length"],
            window="hann",
            pad_mode="reflect",
        )
        power = np.abs(stft[:, :frames]) ** 2
        want = np.empty((num_bands, frames))
        want[0] = power[0]
        for band in range(1, num_bands):
            want[band] = (power[2 * band - 1] + power[2 * band]) / 2
        want = librosa.power_to_db(want, ref=1.0, amin=1e-10, top_db=settings["top_db"])
        np.testing.assert_allclose(clip, want, atol=0.02)
        assert clip.min() >= clip.max() - settings["top_db"] - 1e-3


def test_two_seconds_are_257_bands_of_200_frames_and_a_tone_is_where_it_belongs():
    time = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 3000 * time).astype(np.float32)[None]
    got = spectrogram(tone)
    assert got.shape == (1, 1, 257, 200)
    # 3000 Hz is band 128 of the transform, of 23.4 Hz each; bands 127 and 128 make pair 64.
    assert (got[0, 0, :, 5:-5].argmax(dim=0) == 64).all()
    # A sine of amplitude 1 through a Hann window of sum 512: (512 / 2)^2 in one of the pair, a
    # quarter of it in each neighbour of which one is in the pair.
    want = 10 * np.log10(256**2 * 1.25 / 2)
    np.testing.assert_allclose(got[0, 0, 64, 5:-5], want, atol=0.01)


def test_silence_is_the_floor():
    got = spectrogram(np.zeros((1, 4800), np.float32))
    torch.testing.assert_close(got, torch.full_like(got, -100))


def write_statistics(path, transform, mean, std, **changes):
    content = dict(settings=transform.settings, mean=mean.tolist(), std=std.tolist())
    path.write_text(json.dumps(content | changes))
    return path


def test_statistics_standardise_each_band(tmp_path):
    rng = np.random.default_rng(0)
    mean, std = rng.normal(-30, 10, 257), rng.uniform(0, 20, 257)
    std[3] = 0
    path = write_statistics(tmp_path / "s.json", AVIDSpectrogram(), mean, std)
    waveform = sounds(0.5)
    got, plain = spectrogram(waveform.copy(), statistics=path), spectrogram(waveform)
    for band in range(257):
        want = (plain[:, :, band] - mean[band]) / (std[band] + 1e-5)
        torch.testing.assert_close(got[:, :, band], want.float(), rtol=1e-4, atol=1e-3)


def test_refuses(tmp_path):
    sound = np.zeros((1, 4800), np.float32)
    for name, text, message in (
        ("half.json", '{"mean": [1, ', "not readable as JSON"),
        ("list.json", "[1, 2]", "expected settings, mean and std"),
        ("lacking.json", '{"mean": [1]}', "expected settings, mean and std"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=rf"{name}: {message}"):
            spectrogram(sound, statistics=tmp_path / name)
    words = write_statistics(tmp_path / "words.json", AVIDSpectrogram(), np.ones(257), np.ones(257))
    words.write_text(words.read_text().replace("1.0", '"one"'))
    with pytest.raises(ValueError, match=r"words.json: mean and std are no lists of numbers"):
        spectrogram(sound, statistics=words)
    with pytest.raises(FileNotFoundError, match=r"spectrogram_statistics.py CONFIG .*none.json"):
        spectrogram(sound, statistics=tmp_path / "none.json")
    ones = np.ones(257)
    path = write_statistics(tmp_path / "a.json", AVIDSpectrogram(n_fft=512), ones, ones)
    with pytest.raises(ValueError, match=r"a.json: made for .*512"):
        spectrogram(sound, statistics=path)
    path = write_statistics(tmp_path / "b.json", AVIDSpectrogram(), ones[1:], ones)
    with pytest.raises(ValueError, match="257 bands, got shapes"):
        spectrogram(sound, statistics=path)
    with pytest.raises(ValueError, match="44100 Hz"):
        AVIDSpectrogram()(dict(waveform=sound, sample_rate=44100, filename="x.mp4"))
    with pytest.raises(ValueError, match="n_fft"):
        AVIDSpectrogram(n_fft=1023)
    with pytest.raises(ValueError, match="top_db"):
        AVIDSpectrogram(top_db=0)


def test_volume_jitter_is_one_factor_a_clip():
    np.random.seed(0)
    sound = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    got = VolumeJitter()(dict(waveform=sound))["waveform"]
    assert got.dtype == np.float32
    factors = got / sound
    np.testing.assert_allclose(factors, np.repeat(factors[:, :1], 8, axis=1), rtol=1e-5)
    assert 0.9 <= factors.min() < 0.91 and 1.09 < factors.max() <= 1.1001
    assert abs(factors.mean() - 1) < 0.01
    with pytest.raises(ValueError, match="low"):
        VolumeJitter(1.1, 0.9)
