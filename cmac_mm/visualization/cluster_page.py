"""Clusters of videos as one HTML page that needs no network: purity, nearest clips, their sound."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import soundfile
from mmaction.registry import TRANSFORMS
from PIL import Image

from ..datasets import MediaError
from ..utils import Failure, run_parallel, write_text
from .sheet import spectrogram_picture

_SECONDS = 4.0
_NUM_FRAMES = 4
_FRAME_HEIGHT = 84  # pixels
_SPECTROGRAM_SIZE = (336, 84)  # pixels, width and height
_SAMPLE_RATE = 16000
_NUM_MELS = 64
_STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem auto;max-width:1500px;padding:0 1rem;
color:#1c1c1c;background:#fff}
h1{font-size:1.5rem}h2{margin-top:2.5rem}h3{margin:1.6rem 0 .4rem}
table{border-collapse:collapse}th,td{padding:.15rem .8rem .15rem 0;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tbody tr:nth-child(odd){background:#f4f4f4}
.tables{max-height:26rem;overflow:auto;display:inline-block;border:1px solid #ddd;padding:0 .6rem}
.note{color:#666}.clips{display:flex;flex-wrap:wrap;gap:.8rem;content-visibility:auto;
contain-intrinsic-size:auto 380px}
figure{margin:0;width:336px;border:1px solid #ddd;border-radius:4px;padding:.4rem}
figure img{display:block;width:336px;height:84px;object-fit:contain;background:#eee;
margin-bottom:2px}
figure audio{width:336px;height:32px}figcaption{font-size:.85rem;overflow-wrap:anywhere}
.bad{background:#fdecea;color:#a02020}.own{color:#555}
summary{cursor:pointer;font-size:.85rem;color:#555}
"""


@dataclass
class ClipMedia:
    """What the page shows of a file: the seconds in its middle.

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
        """Whether there is a picture or a sound."""
        return bool(self.frames or self.sound)


@dataclass
class PageClip:
    """A clip of a cluster.

    Attributes:
        filename (str): Its file.
        distance (float): To the cluster's centroid.
        class_name (str | None): Its class; None: it has no label.
    """

    filename: str
    distance: float
    class_name: str | None = None


@dataclass
class PageCluster:
    """A cluster of a source.

    Attributes:
        number (int): Its number.
        size (int): Videos in it.
        purity (float | None): Share of its most frequent class; None: there are no labels.
        concepts (Sequence[tuple[str, float]]): Its most frequent classes with their shares.
        clips (Sequence[PageClip]): Those to show, nearest to the centroid first; empty: the
            cluster stands in the table alone.
    """

    number: int
    size: int
    purity: float | None = None
    concepts: Sequence[tuple[str, float]] = ()
    clips: Sequence[PageClip] = field(default_factory=list)


def nearest_rows(labels: np.ndarray, distances: np.ndarray, cluster: int, count: int) -> np.ndarray:
    """Rows of a cluster that are nearest to its centroid; of equal ones the first in the list.

    Args:
        labels (np.ndarray): Cluster of each row, (N,).
        distances (np.ndarray): Distance of each row to its cluster's centroid, (N,).
        cluster (int): The cluster.
        count (int): How many at most.

    Returns:
        np.ndarray: Row numbers, nearest first.
    """
    rows = np.flatnonzero(labels == cluster)
    return rows[np.argsort(distances[rows], kind="stable")[:count]]


def choose_clusters(num_clusters: int, count: int) -> list[int]:
    """Places in the ranking to show: all, or the top and the bottom where there are more.

    Args:
        num_clusters (int): Clusters in the ranking.
        count (int): How many to show; the top gets one more if it is odd.

    Returns:
        list[int]: Places from 0, rising.
    """
    if num_clusters <= count:
        return list(range(num_clusters))
    top = -(-count // 2)
    return [*range(top), *range(num_clusters - (count - top), num_clusters)]


def read_clip(filename: str, backend_args: dict | None = None) -> ClipMedia:
    """Read what the page shows of a file; what cannot be read is left empty, and said.

    Args:
        filename (str): The file.
        backend_args (dict, optional): Of :class:`OpenAudioVisual`. Defaults to None.

    Returns:
        ClipMedia: Pictures, spectrogram and sound of the middle of the file.
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
            clip = _read(filename, opening)
        except MediaError as error:
            problem = problem or error.reason
            continue
        clip.problem = problem
        return clip
    return ClipMedia(problem=problem)


def _read(filename: str, opening: dict) -> ClipMedia:
    results = TRANSFORMS.build(opening)(dict(filename=filename))
    try:
        seconds = min(_SECONDS, results["total_duration"])
        for cfg in (
            dict(type="SampleClips", duration=seconds, mode="uniform"),
            dict(
                type="DecodeAudioVisual",
                fps=_NUM_FRAMES / seconds,
                clip_len=_NUM_FRAMES,
                short_side=_FRAME_HEIGHT,
                sample_rate=_SAMPLE_RATE,
            ),
        ):
            results = TRANSFORMS.build(cfg)(results)
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
    filenames: Iterable[str], backend_args: dict | None = None, workers: int | None = None
) -> dict[str, ClipMedia]:
    """Read what the page shows of many files, each once, in several processes.

    Args:
        filenames (Iterable[str]): The files.
        backend_args (dict, optional): Of :class:`OpenAudioVisual`. Defaults to None.
        workers (int, optional): Processes. Defaults to None: one per CPU core.

    Returns:
        dict[str, ClipMedia]: By file, also for those that crash or hang the decoder.
    """
    names = list(dict.fromkeys(filenames))
    media = {}
    function = partial(read_clip, backend_args=backend_args)
    for name, found in run_parallel(function, names, workers, description="reading clips"):
        media[name] = ClipMedia(problem=found.reason) if isinstance(found, Failure) else found
    return media


def write_cluster_page(
    path: str | Path,
    title: str,
    sources: Mapping[str, Sequence[PageCluster]],
    media: Mapping[str, ClipMedia],
) -> None:
    """Write the page.

    Of each source: a table of all its clusters, as Table 6 of "Self-Supervised Learning by
    Cross-Modal Audio-Video Clustering", Alwassel et al., 2020, and the clips that are nearest to
    the centroids, as its figure 2. Sound stands open in sources that are made of it, and is folded
    away in the others. Pictures and sound are in the page; it loads nothing, and is not allowed to.

    Args:
        path (str | Path): The HTML file.
        title (str): Heading.
        sources (Mapping[str, Sequence[PageCluster]]): Clusters of each source, in their ranking.
        media (Mapping[str, ClipMedia]): By file, of all clips that are shown.

    Raises:
        ValueError: If there is no source.
    """
    if not sources:
        raise ValueError("no sources: expected at least one")
    bad = [name for name, clip in media.items() if not clip.readable]
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "media-src data:; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
    ]
    if len(sources) > 1:
        links = (f'<a href="#{escape(name)}">{escape(name)}</a>' for name in sources)
        parts.append(f"<p>{' · '.join(links)}</p>")
    if bad:
        parts.append(
            f'<p class="bad" id="unreadable">{len(bad)} of {len(media)} files cannot be read; they '
            "are marked below.</p>"
        )
    for name, clusters in sources.items():
        parts += _source(name, clusters, media)
    parts.append("</body></html>\n")
    write_text(path, "\n".join(parts))


def _source(
    name: str, clusters: Sequence[PageCluster], media: Mapping[str, ClipMedia]
) -> Iterable[str]:
    """Heading, table and clusters of a source."""
    labelled = any(cluster.purity is not None for cluster in clusters)
    by = "purity" if labelled else "size, as the list has no labels"
    shown = sum(bool(cluster.clips) for cluster in clusters)
    total = sum(cluster.size for cluster in clusters)
    yield f'<section><h2 id="{escape(name)}">{escape(name)}: {len(clusters)} clusters</h2>'
    note = f"{total} videos, ranked by {by}."
    if shown < len(clusters):
        top, bottom = -(-shown // 2), shown // 2
        note += f" Clips of the top {top} and the bottom {bottom} of {len(clusters)} are shown."
    yield f'<p class="note">{note}</p><div class="tables"><table><thead><tr>'
    yield '<th class="n">#</th><th class="n">cluster</th><th class="n">videos</th>'
    yield '<th class="n">purity</th><th>concepts</th>' if labelled else ""
    yield "</tr></thead><tbody>"
    for rank, cluster in enumerate(clusters, start=1):
        number = str(cluster.number)
        if cluster.clips:
            number = f'<a href="#{escape(name)}-{number}">{number}</a>'
        cells = f'<td class="n">{rank}</td><td class="n">{number}</td>'
        cells += f'<td class="n">{cluster.size}</td>'
        if labelled:
            cells += f'<td class="n">{_number(cluster.purity)}</td><td>{_concepts(cluster)}</td>'
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"
    for rank, cluster in enumerate(clusters, start=1):
        if not cluster.clips:
            continue
        yield f'<h3 id="{escape(name)}-{cluster.number}">#{rank} · cluster {cluster.number}</h3>'
        purity = "" if cluster.purity is None else f" · purity {_number(cluster.purity)}"
        concepts = f" · {_concepts(cluster)}" if cluster.concepts else ""
        yield f'<p class="note">{cluster.size} videos{purity}{concepts}</p><div class="clips">'
        open_sound = not name.startswith("visual")
        for clip in cluster.clips:
            yield _figure(clip, media[clip.filename], open_sound)
        yield "</div>"
    yield "</section>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _concepts(cluster: PageCluster) -> str:
    return ", ".join(f"{escape(name)} ({share:.2f})" for name, share in cluster.concepts)


def _figure(clip: PageClip, media: ClipMedia, open_sound: bool) -> str:
    """One clip."""
    name = escape(Path(clip.filename).name)
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
    caption = f"{name}<br>distance {clip.distance:.4g}"
    if media.readable:
        end = media.start + media.duration
        caption += f' · <span class="own">{media.start:.1f} to {end:.1f} s</span>'
    if clip.class_name is not None:
        caption = f"<b>{escape(clip.class_name)}</b><br>{caption}"
    if media.problem:
        what = "" if media.readable else "cannot be read: "
        caption += f'<br><span class="bad">{what}{escape(media.problem)}</span>'
    kind = "" if media.readable else ' class="bad"'
    return f"<figure{kind}>{''.join(parts)}<figcaption>{caption}</figcaption></figure>"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
