"""What benchmark_loading.py compares: ways to load the same second of picture and sound."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import librosa
import numpy as np
import torch
from mmengine.dataset import Compose

CLIP_LEN, FPS, DURATION, SHORT_SIDE, CROP = 32, 30, 1.0, 144, 128
RATE, NUM_MELS, HOP, WINDOW, N_FFT = 24000, 257, 240, 1024, 2048

Loader = Callable[[str, float], tuple[torch.Tensor, torch.Tensor]]


@dataclass
class Spent:
    """Seconds that loading a clip took.

    Args:
        cpu (float): Of this process on all cores.
        wall (float): On the clock.
    """

    cpu: float
    wall: float


class Stopwatch:
    """Measures what happens inside ``with``; several times add up."""

    def __init__(self) -> None:
        self.spent = Spent(0.0, 0.0)

    def __enter__(self) -> None:
        self._begin = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.spent.cpu += time.process_time() - self._begin[0]
        self.spent.wall += time.perf_counter() - self._begin[1]


def timed(loader: Loader) -> Callable[[str, float], Spent]:
    """The time a loader takes; what it gives is checked."""

    def measure(path: str, start: float) -> Spent:
        watch = Stopwatch()
        with watch:
            imgs, audio = loader(path, start)
        shapes = tuple(imgs.shape), imgs.dtype, tuple(audio.shape), audio.dtype
        wanted = (3, CLIP_LEN, CROP, CROP), torch.uint8, (1, NUM_MELS, 100), torch.float32
        if shapes != wanted:
            raise RuntimeError(f"a candidate gives {shapes}, not {wanted}")
        return watch.spent

    return measure


def ours() -> Loader:
    """This project's pipeline, at a given start."""
    opening = Compose([dict(type="OpenAudioVisual")])
    pipeline = Compose(
        [
            dict(
                type="DecodeAudioVisual",
                fps=FPS,
                clip_len=CLIP_LEN,
                short_side=SHORT_SIDE,
                transforms=[dict(type="RandomCrop", size=CROP)],
            ),
            dict(type="LogMelSpectrogram", num_mels=NUM_MELS),
            dict(type="PackAudioVisual"),
        ]
    )

    def load(path: str, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        results = opening(dict(filename=path))
        results.update(clip_start=[start], audio_start=[start])
        results.update(clip_duration=DURATION, audio_duration=DURATION)
        inputs = pipeline(results)["inputs"]
        return inputs["imgs"], inputs["audio"]

    return load


def mmaction2(backend: str) -> Loader:
    """MMAction2's pipeline with one of its decoders; the sound by PyAV and librosa."""
    opening = Compose(
        [
            dict(type=f"{backend}Init"),
            dict(type="SampleFrames", clip_len=CLIP_LEN, frame_interval=1, num_clips=1),
        ]
    )
    pipeline = Compose(
        [
            dict(type=f"{backend}Decode"),
            dict(type="Resize", scale=(-1, SHORT_SIDE)),
            dict(type="RandomCrop", size=CROP),
            dict(type="FormatShape", input_format="NCTHW"),
            dict(type="PackActionInputs"),
        ]
    )

    def load(path: str, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        info = dict(filename=path, label=0, start_index=0, modality="RGB")
        results = opening(info)
        first = round(start * results.get("avg_fps", FPS))
        last = results["total_frames"] - 1
        results["frame_inds"] = np.minimum(first + np.arange(CLIP_LEN), last)
        return pipeline(results)["inputs"][0], plain_sound(path, start)

    return load


def plain_sound(path: str, start: float) -> torch.Tensor:
    """Log-mel spectrogram by decoding from the start, and librosa.

    ``librosa.load`` reads the sound of an mp4 only where an ffmpeg program is installed.
    """
    pieces = []
    with av.open(path, metadata_errors="ignore") as container:
        for frame in container.decode(audio=0):
            if frame.time >= start + DURATION:
                break
            pieces.append(frame.to_ndarray().mean(axis=0))
            rate = frame.sample_rate
    first = round(start * rate)
    sound = np.concatenate(pieces)[first : first + round(DURATION * rate)]
    sound = librosa.resample(sound, orig_sr=rate, target_sr=RATE)
    sound = librosa.util.fix_length(sound, size=round(DURATION * RATE))
    power = librosa.feature.melspectrogram(
        y=sound,
        sr=RATE,
        n_fft=N_FFT,
        win_length=WINDOW,
        hop_length=HOP,
        n_mels=NUM_MELS,
        norm=None,
        pad_mode="reflect",
    )
    return torch.from_numpy(librosa.power_to_db(power, top_db=None)[None, :, :100])


def plain_pyav(path: str, start: float) -> tuple[torch.Tensor, torch.Tensor]:
    """PyAV the obvious way: decode from the start, scale, crop."""
    images = []
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            if frame.time >= start - 0.5 / FPS:
                width = round(frame.width * SHORT_SIDE / frame.height)
                images.append(frame.to_ndarray(format="rgb24", width=width, height=SHORT_SIDE))
                if len(images) == CLIP_LEN:
                    break
    images += images[-1:] * (CLIP_LEN - len(images))
    clip = np.stack(images)
    y, x = (np.random.randint(size - CROP + 1) for size in clip.shape[1:3])
    clip = clip[:, y : y + CROP, x : x + CROP].transpose(3, 0, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(clip)), plain_sound(path, start)


def torchcodec() -> Loader:
    """TorchCodec, scaling and cropping while it decodes, and torchaudio."""
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram
    from torchcodec.decoders import AudioDecoder, VideoDecoder
    from torchcodec.transforms import RandomCrop, Resize

    mel = torch.nn.Sequential(
        MelSpectrogram(RATE, N_FFT, WINDOW, HOP, n_mels=NUM_MELS, mel_scale="slaney"),
        AmplitudeToDB(),
    )

    sizes: dict[str, tuple[int, int]] = {}

    def load(path: str, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        if path not in sizes:  # it wants to know this beforehand
            meta = VideoDecoder(path).metadata
            sizes[path] = SHORT_SIDE, round(meta.width * SHORT_SIDE / meta.height)
        video = VideoDecoder(
            path,
            num_ffmpeg_threads=1,
            seek_mode="approximate",
            transforms=[Resize(sizes[path]), RandomCrop((CROP, CROP))],
        )
        end = video.metadata.end_stream_seconds - 1e-3
        times = [min(start + i / FPS, end) for i in range(CLIP_LEN)]
        imgs = video.get_frames_played_at(times).data.transpose(0, 1).contiguous()
        decoder = AudioDecoder(path, sample_rate=RATE, num_channels=1)
        sound = decoder.get_samples_played_in_range(start, start + DURATION).data
        missing = round(DURATION * RATE) - sound.shape[1]
        sound = torch.nn.functional.pad(sound, (0, missing))
        return imgs, mel(sound)[..., :100]

    return load


def bare(path: str, start: float) -> Spent:
    """Open, seek and decode the wanted frames and samples; nothing else."""
    watch = Stopwatch()
    with watch:
        _decode(path, start, lambda packet, _: packet.decode())
    return watch.spent


def floor(path: str, start: float) -> Spent:
    """Decode the wanted frames and samples; opening, seeking and what lies before do not count."""
    watch = Stopwatch()

    def decode(packet: av.Packet, wanted: bool) -> list[av.frame.Frame]:
        if not wanted:
            return packet.decode()
        with watch:
            return packet.decode()

    _decode(path, start, decode)
    return watch.spent


def _decode(path: str, start: float, decode: Callable) -> None:
    with av.open(path, metadata_errors="ignore") as container:
        for stream, end in (
            (container.streams.video[0], start + (CLIP_LEN - 0.5) / FPS),
            (container.streams.audio[0], start + DURATION),
        ):
            stream.codec_context.thread_count = 1
            base, count = stream.time_base, 0
            container.seek(int(start / base), stream=stream)
            # Comparing whole numbers, since fractions would take longer than some decoding.
            first = int(Fraction(start) / base)
            last = int(Fraction(end) / base)
            for packet in container.demux(stream):
                if packet.pts is None or packet.dts > last:
                    break
                wanted = packet.pts <= last and packet.pts + packet.duration > first
                if stream.type == "video":
                    stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
                decode(packet, wanted)
                count += wanted
            if stream.type == "video" and abs(count - CLIP_LEN) > 2:
                raise RuntimeError(f"{count} pictures of {path} at {start:.2f} s")
