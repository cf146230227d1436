from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from cmac_mm.datasets import LogMelSpectrogram, SpecAugment

RATE = 24000


def log_mel(waveform: np.ndarray, **kwargs: object) -> torch.Tensor:
    transform = LogMelSpectrogram(**kwargs)
    return transform(dict(waveform=waveform, sample_rate=transform.sample_rate))["audios"]


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        dict(num_mels=40, n_fft=1024, mel_scale="htk"),
        dict(num_mels=64, win_length=600, hop_length=120, f_min=60.0, f_max=8000.0),
        dict(sample_rate=16000, num_mels=80, win_length=400, hop_length=160, n_fft=512),
    ],
)
@pytest.mark.parametrize("seconds", [1.0, 2.0, 0.5])
def test_log_mel_against_librosa(kwargs, seconds):
    settings = dict(
        sample_rate=RATE, num_mels=257, hop_length=240, win_length=1024, n_fft=2048, f_min=0.0
    )
    settings |= dict(f_max=None, mel_scale="slaney") | kwargs
    rng = np.random.default_rng(0)
    samples = round(seconds * settings["sample_rate"])
    fade = np.logspace(0, -4, samples)
    waveform = (rng.standard_normal((2, samples)) * fade).astype(np.float32)
    got = log_mel(waveform, **kwargs)
    frames = samples // settings["hop_length"]
    assert got.shape == (2, 1, settings["num_mels"], frames)
    assert got.dtype == torch.float32
    for clip, sound in zip(got, waveform, strict=True):
        power = librosa.feature.melspectrogram(
            y=sound.astype(np.float64),
            sr=settings["sample_rate"],
            n_fft=settings["n_fft"],
            win_length=settings["win_length"],
            hop_length=settings["hop_length"],
            n_mels=settings["num_mels"],
            fmin=settings["f_min"],
            fmax=settings["f_max"],
            htk=settings["mel_scale"] == "htk",
            norm=None,
            pad_mode="reflect",
            power=2.0,
        )
        want = 10 * np.log10(np.maximum(power, 1e-10))[:, :frames]
        np.testing.assert_allclose(clip[0].numpy(), want, atol=0.02)


def test_one_second_is_a_hundred_frames_and_a_tone_is_where_it_belongs():
    time = np.arange(RATE) / RATE
    spectrogram = log_mel(np.sin(2 * np.pi * 1000 * time)[None].astype(np.float32))[0, 0]
    assert spectrogram.shape == (257, 100)
    centres = librosa.mel_frequencies(259, fmin=0, fmax=RATE / 2)[1:-1]
    assert abs(centres[spectrogram.mean(1).argmax()] - 1000) < 20


def test_a_click_is_in_the_frame_of_its_time():
    for milliseconds in (105, 500, 894):
        waveform = np.zeros((1, RATE), np.float32)
        waveform[0, milliseconds * RATE // 1000] = 1
        loudest = log_mel(waveform)[0, 0].sum(0).argmax()
        assert abs(float(loudest) - milliseconds / 10) <= 1


def test_silence_and_full_scale_are_finite():
    silence = log_mel(np.zeros((1, RATE), np.float32))
    assert (silence == -100).all()
    loud = log_mel(np.ones((1, RATE), np.float32))
    assert loud.isfinite().all()
    short = log_mel(np.ones((1, 1100), np.float32))
    assert short.shape[-1] == 4


@pytest.mark.parametrize(
    "kwargs",
    [dict(n_fft=1024, mel_scale="htk"), dict(n_fft=512, win_length=512), dict(num_mels=700)],
)
def test_empty_filters_are_refused(kwargs):
    with pytest.raises(ValueError, match=r"of num_mels=\d+ filters are empty"):
        LogMelSpectrogram(**kwargs)


def test_no_filter_of_the_default_is_empty():
    noise = np.random.default_rng(0).standard_normal((1, 10 * RATE)).astype(np.float32)
    level = log_mel(noise)[0, 0].mean(1)
    assert level.min() > level.max() - 40


@pytest.mark.parametrize("samples", [513, 600, 1023, 1024, 5000])
@pytest.mark.parametrize("win_length", [1023, 1024])
def test_short_sounds_and_odd_windows_against_a_slow_loop(samples, win_length):
    """The frame k is centred on sample k * hop, the sound reflected at both ends."""
    n_fft, hop = 2048, 240
    sound = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    got = log_mel(sound[None], win_length=win_length, num_mels=64)[0, 0].numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    filters = librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=64, norm=None)
    first = -(n_fft // 2) + (n_fft - win_length) // 2
    for k in range(max(1, samples // hop)):
        places = np.abs(np.arange(first, first + win_length) + k * hop)
        places = np.where(places >= samples, 2 * (samples - 1) - places, places)
        power = np.abs(np.fft.rfft(sound[places] * window, n_fft)) ** 2
        want = 10 * np.log10(np.maximum(filters @ power, 1e-10))
        np.testing.assert_allclose(got[:, k], want, atol=0.02)


def test_sound_shorter_than_half_a_window_is_refused():
    with pytest.raises(ValueError, match="512 samples is too short for a window of 1024"):
        log_mel(np.zeros((1, 512), np.float32))


def test_wrong_sampling_rate_is_refused():
    with pytest.raises(ValueError, match=r"24000 Hz, the sound of a\.mp4 has 16000 Hz"):
        LogMelSpectrogram()(
            dict(waveform=np.zeros((1, 16000), np.float32), sample_rate=16000, filename="a.mp4")
        )


def augmented(spectrograms: torch.Tensor, seed: int = 0, **kwargs: object) -> torch.Tensor:
    np.random.seed(seed)
    return SpecAugment(**kwargs)(dict(audios=spectrograms))["audios"]


NO_MASKS = dict(num_freq_masks=0, num_time_masks=0)


def test_spec_augment_is_repeatable_and_leaves_its_input_alone():
    spectrograms = torch.randn(3, 1, 257, 100)
    before = spectrograms.clone()
    first = augmented(spectrograms, 1)
    assert torch.equal(first, augmented(spectrograms, 1))
    assert not torch.equal(first, augmented(spectrograms, 2))
    assert torch.equal(spectrograms, before)
    assert first.shape == before.shape
    assert first.is_contiguous()


def test_clips_are_drawn_apart():
    clip = torch.randn(1, 1, 257, 100)
    first, second = augmented(clip.repeat(2, 1, 1, 1), time_warp=0)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("axis", ["freq", "time"])
def test_masks(axis):
    spectrogram = torch.rand(1, 1, 257, 100) + 1
    fill = spectrogram.mean()
    sizes = dict(freq=(257, 27), time=(100, 10))
    size, greatest = sizes[axis]
    settings = {**NO_MASKS, "time_warp": 0, f"num_{axis}_masks": 1}
    widths, starts = set(), set()
    for seed in range(300):
        got = augmented(spectrogram, seed, **settings)[0, 0]
        masked = (got == fill).all(dim=1 if axis == "freq" else 0)
        where = masked.nonzero().flatten()
        widths.add(len(where))
        if len(where):
            assert where[-1] - where[0] + 1 == len(where)
            starts.add(int(where[0]))
        keep = ~masked
        kept, want = (got, spectrogram[0, 0]) if axis == "freq" else (got.T, spectrogram[0, 0].T)
        assert torch.equal(kept[keep], want[keep])
    assert widths == set(range(greatest + 1))
    assert min(starts) < 0.1 * size
    assert max(starts) > 0.75 * size


def test_masks_wider_than_the_spectrogram():
    got = augmented(torch.rand(1, 1, 8, 5), time_mask=50, freq_mask=50)
    assert got.shape == (1, 1, 8, 5)
    assert got.isfinite().all()


def test_time_warp_moves_a_ramp_by_less_than_its_width_and_keeps_the_ends():
    ramp = torch.arange(100.0).repeat(1, 1, 4, 1)
    moved = []
    for seed in range(200):
        got = augmented(ramp, seed, time_warp=5, **NO_MASKS)[0, 0, 0]
        assert got[0] == 0
        assert got[-1] == 99
        assert (got.diff() > 0).all()
        shift = got - ramp[0, 0, 0]
        moved.append(float(shift[shift.abs().argmax()]))
    assert max(map(abs, moved)) < 5
    assert min(moved) < -3.5
    assert max(moved) > 3.5


def test_time_warp_against_a_slow_loop():
    clip = torch.randn(1, 1, 6, 40)
    got = augmented(clip, 5, time_warp=4, **NO_MASKS)[0, 0]
    np.random.seed(5)
    centre = np.random.uniform(4, 36)
    moved = centre + np.random.uniform(-4, 4)
    for j in range(40):
        if j <= moved:
            source = j * centre / moved
        else:
            source = centre + (j - moved) * (39 - centre) / (39 - moved)
        left = min(int(source), 38)
        want = clip[0, 0, :, left] * (left + 1 - source) + clip[0, 0, :, left + 1] * (source - left)
        torch.testing.assert_close(got[:, j], want, atol=1e-5, rtol=1e-5)


def test_nothing_to_do_changes_nothing():
    clip = torch.randn(2, 1, 257, 100)
    assert torch.equal(augmented(clip, time_warp=0, **NO_MASKS), clip)
    short = torch.randn(2, 1, 257, 6)
    assert torch.equal(augmented(short, time_warp=5, **NO_MASKS), short)


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match="freq_mask must not be negative, but is -1"):
        SpecAugment(freq_mask=-1)
