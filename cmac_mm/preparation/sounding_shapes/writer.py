"""Writer of the built-in set: mp4 files, ground truth and lists, in parallel and resumable."""

import io
import json
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from rich.progress import track

from ...utils import default_workers
from ...utils.files import remove_stale, write_bytes
from .kinds import HARD_KINDS, LEVELS
from .scene import Scene, draw_kinds, draw_scene, render_frames
from .sounds import SAMPLE_RATE

# Raised whenever a clip comes out differently, so that a folder never holds a mixture.
_VERSION = 3
_BAD_REASONS = ("no_audio", "silent", "truncated", "empty")
_GROUND_TRUTH_TYPES: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "label": int,
    "fps": (int, float),
    "width": int,
    "height": int,
    "boxes": list,
    "band_hz": list,
    "silent_kinds": list,
    "impact_times": list,
}


def make_sounding_shapes(
    out_dir: str | Path,
    num_train: int = 4096,
    num_test: int = 512,
    seed: int = 0,
    workers: int | None = None,
    num_bad: int = 8,
    level: str = "plain",
) -> None:
    """Make the built-in set of sounding shapes.

    A clip depends on the level, the seed, its split and its number only. Clips that exist are
    kept, so an interrupted run is completed by the same call; the lists are written last.

    Layout of ``out_dir``: ``train.txt`` and ``test.txt`` (lines ``videos/train/000123.mp4 3``),
    ``classes.txt``, ``bad_files.txt`` (the unusable files in the training list, each with its
    flaw), ``settings.json``, ``videos/{train,test}/*.mp4`` with a ``.json`` beside each.

    Args:
        out_dir (str | Path): Folder of the set; made if it is missing.
        num_train (int): Good training clips. Defaults to 4096.
        num_test (int): Test clips. Defaults to 512.
        seed (int): Seed of the whole set. Defaults to 0.
        workers (int | None): Processes; None for one per CPU core. Defaults to None.
        num_bad (int): Unusable files among the training clips: without sound track, with a silent
            one, truncated, empty, by turns. Defaults to 8.
        level (str): ``'plain'`` or ``'hard'``, see ``tools/data/make_sounding_shapes.py``.
            Defaults to ``'plain'``.

    Raises:
        ValueError: If a number is out of its range, the level is unknown, or ``out_dir`` holds a
            set that was made with other settings.
    """
    out_dir = Path(out_dir)
    settings: dict[str, Any] = {
        "version": _VERSION,
        "num_train": num_train,
        "num_test": num_test,
        "seed": seed,
        "num_bad": num_bad,
    }
    if workers is None:
        workers = default_workers()
    for name, value in {**settings, "workers": workers}.items():
        least = 1 if name in ("num_train", "workers") else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if level not in LEVELS:
        raise ValueError(f"level must be one of {tuple(LEVELS)}, got {level!r}")
    if level != "plain":  # the plain level's file has said nothing of levels so far
        settings["level"] = level
    _check_settings(out_dir, settings)

    jobs: list[tuple[str, int, str | None]] = [("train", i, None) for i in range(num_train)]
    jobs += [("train", num_train + i, _BAD_REASONS[i % 4]) for i in range(num_bad)]
    jobs += [("test", i, None) for i in range(num_test)]
    for split in ("train", "test"):
        (out_dir / "videos" / split).mkdir(parents=True, exist_ok=True)
    missing = [job for job in jobs if not (out_dir / _video_path(*job[:2])).exists()]
    if missing:
        description = f"sounding shapes, {len(missing)} of {len(jobs)} videos to make"
        _make_videos(out_dir, seed, level, missing, workers, description)
    for split in ("train", "test"):
        remove_stale(out_dir / "videos" / split, "*")
    _write_lists(out_dir, seed, level, jobs)


def read_ground_truth(video_path: str | Path) -> dict[str, Any]:
    """Read box, band and times of the sounding object in a clip of the built-in set.

    Args:
        video_path (str | Path): The video; its ground truth lies beside it as ``.json``.

    Returns:
        dict[str, Any]: ``kind`` (str), ``label`` (int), ``fps`` (float), ``width`` and ``height``
        (int, pixels), ``boxes`` (list of [left, top, right, bottom] in pixels, one a frame),
        ``band_hz`` ([low, high]), ``silent_kinds`` (list of str), ``impact_times`` (list of
        seconds at which the sounding object hits something; empty for kinds that do not); at the
        hard level also ``sounding_times`` (list of [start, end] in seconds, in which it sounds).

    Raises:
        FileNotFoundError: If there is no ground truth beside the video.
        ValueError: If it is not valid JSON, or a key is missing or has a wrong value.
    """
    path = Path(video_path).with_suffix(".json")
    truth = _read_json(path)
    for key, types in _GROUND_TRUTH_TYPES.items():
        if key not in truth:
            raise ValueError(f"{path}: key {key!r} is missing")
        if not isinstance(truth[key], types):
            raise ValueError(f"{path}: key {key!r} has the value {truth[key]!r} of a wrong type")
    kind, silent_kinds = truth["kind"], truth["silent_kinds"]
    width, height = truth["width"], truth["height"]
    checks = {
        "kind": kind in HARD_KINDS,
        "label": HARD_KINDS[truth["label"] : truth["label"] + 1] == (kind,),
        "fps": truth["fps"] > 0,
        "silent_kinds": all(
            other in HARD_KINDS and other != kind and silent_kinds.count(other) == 1
            for other in silent_kinds
        ),
        "band_hz": _are_numbers(truth["band_hz"], 2)
        and 0 < truth["band_hz"][0] < truth["band_hz"][1],
        "boxes": bool(truth["boxes"])
        and all(
            _are_numbers(b, 4) and 0 <= b[0] < b[2] <= width and 0 <= b[1] < b[3] <= height
            for b in truth["boxes"]
        ),
        "impact_times": _are_numbers(truth["impact_times"], len(truth["impact_times"])),
    }
    if "sounding_times" in truth:
        checks["sounding_times"] = isinstance(truth["sounding_times"], list) and all(
            _are_numbers(part, 2) and 0 <= part[0] < part[1] for part in truth["sounding_times"]
        )
    for key, good in checks.items():
        if not good:
            raise ValueError(f"{path}: key {key!r} has the unexpected value {truth[key]!r}")
    return truth


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, (int, float)) for value in values)
    )


def _check_settings(out_dir: Path, settings: dict[str, int]) -> None:
    path = out_dir / "settings.json"
    if path.exists():
        found = _read_json(path)
        if found != settings:
            raise ValueError(
                f"{path}: the set there was made with {found}, but {settings} is asked for: "
                "use the same settings or another folder"
            )
    elif (out_dir / "videos").exists():
        raise ValueError(f"{out_dir}: holds a folder 'videos' but no settings.json: not a set")
    else:
        out_dir.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(settings, indent=2).encode())


def _make_videos(
    out_dir: Path,
    seed: int,
    level: str,
    jobs: list[tuple[str, int, str | None]],
    workers: int,
    description: str,
) -> None:
    make = partial(_make_video, out_dir, seed, level)
    if workers == 1:
        for job in track(jobs, description):
            make(job)
        return
    # one thread a process; set here, since a forked one would wait for threads of its parent
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
            # the processes start here, before the progress bar starts a thread
            results = pool.map(make, jobs, chunksize=8)
            for _ in track(results, description, total=len(jobs)):
                pass
    finally:
        cv2.setNumThreads(threads)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow_parent() -> None:
        # a worker whose parent was killed would wait for work for ever
        parent = multiprocessing.parent_process()
        assert parent is not None  # this is a worker
        parent.join()
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()


def _make_video(out_dir: Path, seed: int, level: str, job: tuple[str, int, str | None]) -> None:
    split, index, flaw = job
    scene = draw_scene(seed, split, index, level)
    frames, boxes = render_frames(scene)
    kind = scene.sounding.kind
    truth: dict[str, Any] = {
        "kind": kind,
        "label": HARD_KINDS.index(kind),
        "fps": float(scene.fps),
        "width": scene.width,
        "height": scene.height,
        "boxes": boxes.tolist(),
        "band_hz": [round(edge, 2) for edge in scene.sound.band_hz],
        "silent_kinds": [shape.kind for shape in scene.shapes[:-1]],
        "impact_times": scene.impact_times.round(6).tolist(),
    }
    if scene.sound.times is not None:
        truth["sounding_times"] = np.round(scene.sound.times, 6).tolist()
    path = out_dir / _video_path(split, index)
    # the video last: where it exists, its ground truth does, too
    write_bytes(path.with_suffix(".json"), json.dumps(truth).encode())
    samples = scene.sound.samples
    sound = None if flaw == "no_audio" else np.zeros_like(samples) if flaw == "silent" else samples
    video = _encode(scene, frames, sound)
    if flaw == "truncated":
        video = video[: len(video) // 2]
    elif flaw == "empty":
        video = b""
    write_bytes(path, video)


def _encode(scene: Scene, frames: np.ndarray, sound: np.ndarray | None) -> bytes:
    """Encode a clip as mp4: H.264, a key frame every 12 frames, and AAC, 24 kHz mono."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"preset": "veryfast", "tune": "zerolatency", "crf": "27"}
        video = container.add_stream("libx264", rate=scene.fps, options=options)
        video.width, video.height, video.pix_fmt = scene.width, scene.height, "yuv420p"
        video.codec_context.gop_size = 12
        video.codec_context.thread_count = 1
        if sound is not None:
            # cutoff: the encoder's own would be below the highest band
            options = {"aac_coder": "fast", "cutoff": "11000"}
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options=options)
            audio.bit_rate = 32_000
        for i, frame in enumerate(frames):
            yuv = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            picture = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
            picture.pts, picture.time_base = i, Fraction(1, scene.fps)
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if sound is not None:
            samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            samples.sample_rate = SAMPLE_RATE
            # without it the encoder's delay of 1024 samples would not be noted in the file
            samples.pts = 0
            container.mux(audio.encode(samples))
            container.mux(audio.encode())
    return file.getvalue()


def _write_lists(
    out_dir: Path, seed: int, level: str, jobs: list[tuple[str, int, str | None]]
) -> None:
    good: dict[str, list[str]] = {"train": [], "test": []}
    bad, flaws = [], []
    for split, index, flaw in jobs:
        path = _video_path(split, index)
        line = f"{path} {HARD_KINDS.index(draw_kinds(seed, split, index, level)[-1])}"
        if flaw is None:
            good[split].append(line)
        else:
            bad.append(line)
            flaws.append(f"{path} {flaw}")
    rng = np.random.default_rng(seed)
    for line in bad:
        good["train"].insert(rng.integers(len(good["train"]) + 1), line)
    lists = {"classes": LEVELS[level], "bad_files": flaws, **good}
    for name, lines in lists.items():
        write_bytes(out_dir / f"{name}.txt", "".join(f"{line}\n" for line in lines).encode())


def _video_path(split: str, index: int) -> str:
    return f"videos/{split}/{index:06d}.mp4"
