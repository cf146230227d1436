"""Clips on HTML pages: pictures, spectrogram and playable audio, without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import soundfile
from mmaction.registry import TRANSFORMS
from PIL import Image

from ..datasets import MediaError
from ..utils import Failure, run_parallel
from .sheet import spectrogram_picture

_SECONDS = 4.0
_NUM_FRAMES = 4
_FRAME_HEIGHT = 84  # pixels
_SPECTROGRAM_SIZE = (336, 84)  # pixels, width and height
_SAMPLE_RATE = 16000
_NUM_MELS = 64
CLIP_STYLE = """
.note{color:#666}.clips{display:flex;flex-wrap:wrap;gap:.8rem;content-visibility:auto;
contain-intrinsic-size:auto 380px}
figure{box-sizing:content-box;margin:0;width:336px;border:1px solid #ddd;
border-radius:4px;padding:.4rem}
figure img{display:block;width:336px;height:84px;object-fit:contain;background:#eee;
margin-bottom:2px}
figure audio{width:336px;height:32px}figcaption{font-size:.85rem;overflow-wrap:anywhere}
.bad{background:#fdecea;color:#a02020}.own{color:#555}
summary{cursor:pointer;font-size:.85rem;color:#555}
"""
"""How clips look, on any page."""
_PAGE_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem auto;max-width:1500px;padding:0 1rem;
color:#1c1c1c;background:#fff}
h1{font-size:1.5rem}h2{margin-top:2.5rem}h3{margin:1.6rem 0 .4rem}
table{border-collapse:collapse}th,td{padding:.15rem .8rem .15rem 0;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tbody tr:nth-child(odd){background:#f4f4f4}
.tables{max-height:26rem;overflow:auto;display:inline-block;border:1px solid #ddd;padding:0 .6rem}
"""


Place = tuple[str, float | None]
"""A file, and the second at which what is shown of it begins; None: its middle."""


@dataclass
class ClipMedia:
    """Pictures, spectrogram and audio of a file, of 4 s at most.

    Attributes:
        start (float): Where they begin, seconds.
        duration (float): How many they are, at most 4.
        frames (bytes): Pictures at even steps side by side, JPEG; empty: none can be read.
        spectrogram (bytes): Log-mel spectrogram, 64 filters up to 8 kHz, JPEG; empty: no sound.
        sound (bytes): One channel of 16 kHz, MP3; empty: no sound.
        problem (str): Why something is missing; empty: nothing is.
    """

    start: float = 0.0
    duration: float = 0.0
    frames: bytes = b""
    spectrogram: bytes = b""
    sound: bytes = b""
    problem: str = ""

    @property
    def readable(self) -> bool:
        """Whether there is video or audio."""
        return bool(self.frames or self.sound)


def read_clip(
    filename: str, start: float | None = None, backend_args: dict | None = None
) -> ClipMedia:
    """Read what a page shows of a file; what cannot be read is left empty, and said.

    Args:
        filename (str): The file.
        start (float, optional): Where it begins, seconds. Defaults to None: in the middle.
        backend_args (dict, optional): Of :class:`OpenAudioVisual`. Defaults to None.

    Returns:
        ClipMedia: Pictures, spectrogram and sound.
    """
    problem = ""
    for need_video, need_audio in ((True, True), (True, False), (False, True)):
        opening = dict(
            type="OpenAudioVisual",
            need_video=need_video,
            need_audio=need_audio,
            backend_args=backend_args,
        )
        try:
            clip = _read(filename, start, opening)
        except MediaError as error:
            problem = problem or error.reason
            continue
        clip.problem = problem
        return clip
    return ClipMedia(problem=problem)


def _read(filename: str, start: float | None, opening: dict) -> ClipMedia:
    results = TRANSFORMS.build(opening)(dict(filename=filename))
    try:
        total = results["total_duration"]
        seconds = min(_SECONDS, total)
        begin = (total - seconds) / 2 if start is None else min(start, total - seconds)
        results.update(clip_start=[begin], clip_duration=seconds)
        results.update(audio_start=[begin], audio_duration=seconds)
        decode = dict(
            type="DecodeAudioVisual",
            fps=_NUM_FRAMES / seconds,
            clip_len=_NUM_FRAMES,
            short_side=_FRAME_HEIGHT,
            sample_rate=_SAMPLE_RATE,
        )
        results = TRANSFORMS.build(decode)(results)
    finally:
        if "media" in results:
            results["media"].close()
    clip = ClipMedia(results["clip_start"][0], seconds)
    if "imgs" in results:
        strip = Image.fromarray(np.concatenate(results["imgs"], axis=1))
        clip.frames = _jpeg(
            strip.resize((strip.width * _FRAME_HEIGHT // strip.height, _FRAME_HEIGHT))
        )
    if "waveform" in results:
        clip.sound = _mp3(results["waveform"][0])
        clip.spectrogram = _spectrogram(results)
    return clip


def _spectrogram(results: dict) -> bytes:
    mel = dict(
        type="LogMelSpectrogram",
        sample_rate=_SAMPLE_RATE,
        num_mels=_NUM_MELS,
        hop_length=_SAMPLE_RATE // 100,
        win_length=400,
    )
    # A recording of a few samples has no spectrum.
    if results["waveform"].shape[1] <= 400:
        return b""
    log_mel = TRANSFORMS.build(mel)(dict(results))["audios"][0, 0].numpy()
    picture = Image.fromarray(spectrogram_picture(log_mel, coloured=True))
    return _jpeg(picture.resize(_SPECTROGRAM_SIZE))


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75)
    return out.getvalue()


def _mp3(samples: np.ndarray) -> bytes:
    """MP3, which every browser plays, at an eighth of the size of WAV."""
    out = io.BytesIO()
    soundfile.write(out, np.clip(samples, -1, 1), _SAMPLE_RATE, format="MP3")
    return out.getvalue()


def read_clips(
    places: Iterable[Place], backend_args: dict | None = None, workers: int | None = None
) -> dict[Place, ClipMedia]:
    """Read what a page shows of many files, each place once, in several processes.

    Args:
        places (Iterable[Place]): The files, and where.
        backend_args (dict, optional): Of :class:`OpenAudioVisual`. Defaults to None.
        workers (int, optional): Processes. Defaults to None: one per CPU core.

    Returns:
        dict[Place, ClipMedia]: By place, also for those that crash or hang the decoder.
    """
    unique = list(dict.fromkeys(places))
    media = {}
    function = partial(_read_place, backend_args=backend_args)
    for place, found in run_parallel(function, unique, workers, description="reading clips"):
        media[place] = ClipMedia(problem=found.reason) if isinstance(found, Failure) else found
    return media


def _read_place(place: Place, backend_args: dict | None) -> ClipMedia:
    return read_clip(*place, backend_args)


def page_head(title: str) -> list[str]:
    """Make the head of a page that may load nothing."""
    return [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "media-src data:; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_PAGE_STYLE}{CLIP_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
    ]


def clip_figure(
    filename: str, media: ClipMedia, note: str, heading: str | None = None, open_sound: bool = True
) -> str:
    """Format one clip.

    Args:
        filename (str): Its file.
        media (ClipMedia): What is shown.
        note (str): Text below.
        heading (str, optional): Text above the name. Defaults to None.
        open_sound (bool): Whether the sound is not folded away. Defaults to True.

    Returns:
        str: HTML.
    """
    name = escape(Path(filename).name)
    parts = []
    if media.frames:
        picture = _data("image/jpeg", media.frames)
        parts.append(f'<img class="frames" loading="lazy" src="{picture}" alt="frames of {name}">')
    if media.sound:
        # Nothing is decoded before somebody plays it: a page may hold hundreds.
        sound = _data("audio/mpeg", media.sound)
        heard = f'<audio controls preload="none" src="{sound}"></audio>'
        if media.spectrogram:
            picture = _data("image/jpeg", media.spectrogram)
            heard = f'<img class="sound" src="{picture}" alt="spectrogram of {name}">' + heard
        if not open_sound:
            heard = f"<details><summary>sound</summary>{heard}</details>"
        parts.append(heard)
    caption = f"{name}<br>{escape(note)}"
    if media.readable:
        end = media.start + media.duration
        caption += f' · <span class="own">{media.start:.1f} to {end:.1f} s</span>'
    if heading is not None:
        caption = f"<b>{escape(heading)}</b><br>{caption}"
    if media.problem:
        what = "" if media.readable else "cannot be read: "
        caption += f'<br><span class="bad">{what}{escape(media.problem)}</span>'
    kind = "" if media.readable else ' class="bad"'
    return f"<figure{kind}>{''.join(parts)}<figcaption>{caption}</figcaption></figure>"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
