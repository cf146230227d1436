"""Overlay videos: attention over the frames, spectrogram with a cursor, and audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from mmcv.transforms import BaseTransform

from ..datasets import MediaFile
from ..datasets.av_reader import Scaler, read_sound, stream_frames
from ..features import VideoResult
from ..utils.files import replacing
from .attention import lay_heat
from .attention_track import AttentionTrack
from .spectrogram_strip import draw_span, read_span
from .video_figure import LONGEST, WORDS, find_tracks, frame_heat, region_box

_CLOCK = Fraction(1, 90000)
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_SOUND_SECONDS = 20.0  # that are decoded at a time
_AHEAD = 0.5  # by which the sound is written before the picture, seconds
_LEAST_WIDTH = 320


def overlay_video(
    result: VideoResult,
    path: str | Path,
    spectrogram: BaseTransform,
    kind: str = "guided",
    note: str = "",
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write an MP4 with attention over the frames, the spectrogram, and audio.

    The picture keeps size, frames and their times; what lies outside of the network's view is
    darker. Below runs the spectrogram, ten seconds at a time, with attention over it, a cursor and
    a legend. The sound is one channel, as the network hears it. A video of any length takes the
    same memory.

    Args:
        result (VideoResult): What a model said of the video; a ``stride`` of half a clip makes the
            heat smoother in time.
        path (str | Path): File to write, ending in ``.mp4``.
        spectrogram (BaseTransform): The model's, such as :class:`LogMelSpectrogram`.
        kind (str): ``'guided'`` or ``'predicted'`` attention; where the model gives only the other,
            that. Defaults to ``'guided'``.
        note (str): A line below. Defaults to none.
        progress (Callable, optional): Called with the seconds that are done. Defaults to None.

    Raises:
        ValueError: If the video has no picture, or the model gave no attention over it.
        MediaError: If the file cannot be read.
    """
    path = Path(path)
    if kind not in ("guided", "predicted"):
        raise ValueError(f"kind must be 'guided' or 'predicted', got {kind!r}")
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: expected a name that ends in .mp4")
    tracks = find_tracks(result)
    chosen = [k for k in (kind, "guided", "predicted") if (k, "visual") in tracks]
    if not chosen:
        raise ValueError(f"{result.source} has no picture to lay attention over")
    kind = chosen[0]
    with ExitStack() as stack:
        media = stack.enter_context(closing(MediaFile(result.path, need_audio=False)))
        sound = scout = None
        if "audio" in result.clip_seconds:
            sound = stack.enter_context(closing(MediaFile(result.path)))
            scout = stack.enter_context(closing(MediaFile(result.path)))
        track = tracks.get((kind, "audio"))
        strips = _Strips(scout, spectrogram, track, result.duration, kind, note)
        frames = _drawn(media, tracks[kind, "visual"], result, strips)
        temporary = stack.enter_context(replacing(path))
        _write(temporary, frames, sound, result.duration, media, progress)


def _drawn(
    media: MediaFile, track: AttentionTrack, result: VideoResult, strips: _Strips
) -> Iterator[tuple[float, np.ndarray]]:
    """Each frame of the result, and when it is shown."""
    scaler = Scaler(media, lambda size: size, format="rgb24")
    for time, frame in stream_frames(media):
        scaled = scaler(frame)  # which finds out the pose
        image = scaler.pose.apply(scaled.to_ndarray())
        size = image.shape[:2]
        laid = lay_heat(image, frame_heat(track, time, size, result.region))
        left, top, right, bottom = region_box(size, result.region)
        outside = np.ones(size, bool)
        outside[top:bottom, left:right] = False
        laid[outside] //= 2
        yield time, _even(strips.below(laid, time))


def _even(image: np.ndarray) -> np.ndarray:
    """4:2:0, which every player shows, needs even sizes."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")


class _Strips:
    """What stands below the picture: a page of the spectrogram, a cursor for each frame, a legend.

    A video without sound has the legend alone.
    """

    def __init__(
        self,
        media: MediaFile | None,
        spectrogram: BaseTransform,
        track: AttentionTrack | None,
        duration: float,
        kind: str,
        note: str,
    ) -> None:
        self._media = media
        self._spectrogram = spectrogram
        self._track = track
        self._duration = duration
        self._kind = kind
        self._note = note
        self._page = -1
        self._strip: np.ndarray | None = None
        self._inside = (0, 0, 1, 1)
        self._span = (0.0, 1.0)

    def below(self, image: np.ndarray, time: float) -> np.ndarray:
        """The picture with the strip of its time below, as wide as both need."""
        page = 0 if self._media is None else int(time // LONGEST)
        width = max(image.shape[1], _LEAST_WIDTH)
        if page != self._page:
            self._page = page
            self._draw(width, page * LONGEST)
        assert self._strip is not None  # it has been drawn
        strip = self._strip.copy()
        if self._media is not None:
            start, end = self._span
            x0, y0, x1, y1 = self._inside
            x = round(x0 + min(1.0, (time - start) / (end - start)) * (x1 - x0 - 1))
            thick = max(1, width // 640)
            strip[y0:y1, max(x0, x - thick) : x + 2 * thick] = 0
            strip[y0:y1, x : x + thick] = 255
        spare = width - image.shape[1]
        sides = ((0, 0), (spare // 2, spare - spare // 2), (0, 0))
        return np.concatenate([np.pad(image, sides), strip])

    def _draw(self, width: int, start: float) -> None:
        scale = max(width / 640, 0.75)
        rows = 1 if self._track is None else 2
        below = 17 if self._note else 6
        plot = 0 if self._media is None else 90
        points = width / scale, 10 * rows + 6 + plot + below  # of a 640th of the width, or larger
        size = width, 2 * round(points[1] * scale / 2)
        with matplotlib.rc_context({"font.size": 7, "font.family": "DejaVu Sans"}):
            figure = Figure(np.array(size) / (72 * scale), 72 * scale, facecolor="white")
            FigureCanvasAgg(figure)

            def place(left: float, bottom: float, right: float, top: float) -> Axes:
                x, y = points
                ax = figure.add_axes((left / x, bottom / y, (right - left) / x, (top - bottom) / y))
                ax.tick_params(labelsize=6.5, length=2, pad=1.5)
                return ax

            words = [f"picture: {WORDS[self._kind, 'visual']}"]
            if self._track is not None:
                words.append(f"spectrogram: {WORDS[self._kind, 'audio']}")
            for row, text in enumerate(words):
                y = points[1] - 9 - 10 * row
                figure.text(4 / points[0], y / points[1], text, parse_math=False)
            if self._note:
                note = figure.text(4 / points[0], 4 / points[1], self._note, parse_math=False)
                note.set(fontsize=6.5, color="dimgrey")
            heat = ScalarMappable(Normalize(0, 1), "inferno")
            y = points[1] - 9
            bar = place(points[0] - 140, y, points[0] - 40, y + 6)
            figure.colorbar(heat, cax=bar, orientation="horizontal").set_ticks([])
            for x, text in ((points[0] - 180, "attention"), (points[0] - 36, "high")):
                figure.text(x / points[0], y / points[1], text)
            if self._media is not None:
                end = min(start + LONGEST, self._duration)
                span = read_span(self._media, self._spectrogram, start, end)
                ax = place(40, below + 11, points[0] - 14, below + plot)
                draw_span(ax, span, self._track, coloured=self._track is None)
                box = ax.get_window_extent()
                self._span = (span.start, span.end)
                self._inside = tuple(
                    round(v) for v in (box.x0, size[1] - box.y1, box.x1, size[1] - box.y0)
                )
            figure.canvas.draw()
            self._strip = np.asarray(figure.canvas.buffer_rgba())[: size[1], :width, :3].copy()


def _write(
    path: Path,
    frames: Iterator[tuple[float, np.ndarray]],
    sound: MediaFile | None,
    duration: float,
    media: MediaFile,
    progress: Callable[[float], None] | None,
) -> None:
    """Encode frames and sound side by side."""
    rate = media.picture.average_rate or Fraction(25)
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "faststart"}) as out:
        video = out.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = _CLOCK  # finer than a frame: its time is kept
        blocks: Iterator[av.AudioFrame] = iter(())
        encoder, heard = None, 0.0
        if sound is not None:
            own = sound.sound.rate or 48000
            sample_rate = own if own in _RATES else 48000
            encoder = out.add_stream("aac", rate=sample_rate, layout="mono")
            blocks = _sound_blocks(sound, duration, sample_rate)
        last = -1
        for time, image in frames:
            if last < 0:
                video.height, video.width = image.shape[:2]
            while heard < time + _AHEAD and (block := next(blocks, None)) is not None:
                assert encoder is not None  # there is sound
                out.mux(encoder.encode(block))
                heard = float(block.pts + block.samples) / block.sample_rate
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = max(last + 1, round(time / _CLOCK)), _CLOCK
            last = frame.pts
            out.mux(video.encode(frame))
            if progress is not None:
                progress(time)
        if last < 0:
            raise media.error("no picture can be decoded")
        out.mux(video.encode(None))
        if encoder is not None:
            for block in blocks:
                out.mux(encoder.encode(block))
            out.mux(encoder.encode(None))


def _sound_blocks(media: MediaFile, duration: float, rate: int) -> Iterator[av.AudioFrame]:
    """The sound of the whole file, a second at a time."""
    total = round(duration * rate)
    step = round(_SOUND_SECONDS * rate)
    for begin in range(0, total, step):
        count = min(step, total - begin)
        samples = read_sound(media, [begin / rate], count / rate, rate)[0].clip(-1, 1)
        for part in range(0, len(samples), rate):
            piece = np.ascontiguousarray(samples[None, part : part + rate], np.float32)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = begin + part
            yield frame
