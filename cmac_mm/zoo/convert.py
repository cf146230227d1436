"""From the checkpoints of other projects to the layout of ours.

The weights are the peers'; their code is not: which key means what is in the tables below.
"""

import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..models import AudioResNet, AVIDAudioNet, R2Plus1D
from ..utils import list_mismatches, load_checkpoint, refuse_non_finite, weights_of, write_bytes
from .fetch import file_sha256

_KINETICS = dict(mean=(110.2008, 100.63983, 95.99475), std=(58.14765, 56.46975, 55.332195))
_IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
_GREY = dict(mean=(114.75, 114.75, 114.75), std=(57.375, 57.375, 57.375))


class _LeftOut:
    """Stands for an object that nobody needs: takes what was pickled of it and forgets it."""

    def __setstate__(self, state: object) -> None:
        """Forget the state."""


def _plain_dict(_factory: type) -> dict:
    """Stand for `defaultdict`, which torch refuses to fill."""
    return {}


# GDT keeps its options and its learning rate schedule, with the optimizer inside, in the file.
_GDT_CLASSES = (
    (_LeftOut, "argparse.Namespace"),
    (_LeftOut, "torch.optim.lr_scheduler.MultiStepLR"),
    (_LeftOut, "torch.optim.sgd.SGD"),
    (Counter, "collections.Counter"),
    (_plain_dict, "collections.defaultdict"),
    (dict, "builtins.dict"),
)


@dataclass(frozen=True, kw_only=True)
class PeerFormat:
    """What a peer's checkpoints look like, and what one must know to use their weights.

    Attributes:
        variant (str): Of :class:`R2Plus1D`.
        visual_prefix (str): Before the keys of the video encoder.
        audio_prefix (str, optional): Before those of the audio encoder, if the file holds one.
        audio_backbone (dict, optional): Config of our backbone that takes the audio weights.
        audio_input (str, optional): What the audio encoder listens to.
        dropped (str): Regular expression of keys that are no part of the encoders.
        mean (tuple[float, ...]): Of red, green and blue on the scale 0 to 255.
        std (tuple[float, ...]): On the same scale.
        input_size (tuple[int, int, int]): Frames, height and width of a clip.
        fps (int): Frames a second.
        licence (str): Of the weights.
        url (str): Where they come from.
        classes (tuple[tuple, ...]): What may be unpickled beside tensors and plain values: what
            to use in its place, and its name.
    """

    variant: str
    visual_prefix: str = ""
    audio_prefix: str | None = None
    audio_backbone: dict | None = None
    audio_input: str | None = None
    dropped: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, int, int]
    fps: int
    licence: str
    url: str
    classes: tuple[tuple, ...] = ()


PEERS = {
    "torchvision": PeerFormat(
        variant="torchvision",
        dropped=r"fc\.",
        **_KINETICS,
        input_size=(16, 112, 112),
        fps=15,
        licence="BSD-3-Clause; trained with the labels of Kinetics-400",
        url="https://github.com/pytorch/vision",
    ),
    "xdc": PeerFormat(
        variant="caffe2",
        dropped=r"fc\.",
        **_KINETICS,
        input_size=(32, 224, 224),
        fps=30,
        licence="MIT",
        url="https://github.com/HumamAlwassel/XDC",
    ),
    "avid": PeerFormat(
        variant="avid",
        visual_prefix="video_model.",
        audio_prefix="audio_model.",
        audio_backbone=dict(type="AVIDAudioNet"),
        audio_input="1 x 257 x 200, frequency before time: 2 s at 24 kHz, dB, standardised "
        "(AVIDSpectrogram)",
        dropped=r"(video|audio)_proj\.",
        **_IMAGENET,
        input_size=(8, 224, 224),
        fps=16,
        licence="CC-BY-NC",
        url="https://github.com/facebookresearch/AVID-CMA",
    ),
    "gdt": PeerFormat(
        variant="torchvision",
        visual_prefix="video_network.base.",
        audio_prefix="audio_network.base.",
        audio_backbone=dict(type="AudioResNet", depth=9),
        audio_input="1 x 257 x 99, frequency before time: natural log of mel bands, "
        "(x - 1.93) / 17.89",
        dropped=r"mlp_[va]\.|audio_network\.base\.fc\.",
        **_GREY,
        input_size=(32, 128, 128),
        fps=30,
        licence="contradictory at its source: ask the authors before any use but research",
        url="https://github.com/facebookresearch/GDT",
        classes=_GDT_CLASSES,
    ),
    "selavi": PeerFormat(
        variant="torchvision",
        visual_prefix="video_network.base.",
        audio_prefix="audio_network.base.",
        audio_backbone=dict(type="AudioResNet", depth=9),
        audio_input="1 x 257 x 99, frequency before time: log-mel",
        dropped=r"mlp_[va]\d*\.",
        **_GREY,
        input_size=(30, 112, 112),
        fps=30,
        licence="CC-BY-NC",
        url="https://github.com/facebookresearch/selavi",
    ),
}


_AUDIO_BACKBONES = {"AudioResNet": AudioResNet, "AVIDAudioNet": AVIDAudioNet}


def _expected_state(peer: PeerFormat) -> dict[str, Tensor]:
    """Keys of the converted file, with tensors that have a shape and no content."""
    parts: dict[str, Callable[[], nn.Module]] = {
        "visual_backbone.": lambda: R2Plus1D(variant=peer.variant)
    }
    if peer.audio_prefix is not None:
        options = dict(peer.audio_backbone)
        backbone = _AUDIO_BACKBONES[options.pop("type")]
        parts["audio_backbone."] = lambda: backbone(**options)
    with torch.device("meta"):
        return {
            prefix + key: value
            for prefix, build in parts.items()
            for key, value in build().state_dict().items()
        }


def _read_weights(path: Path, peer: PeerFormat) -> dict[str, Tensor]:
    """Read a state dict, by itself or inside a checkpoint."""
    with torch.serialization.safe_globals(list(peer.classes)):
        content = load_checkpoint(path)
    return weights_of(content, path, ("model", "state_dict"))


def convert_checkpoint(source: str, path: str | Path, out: str | Path) -> dict:
    """Convert a peer's checkpoint to ours: ``visual_backbone.*`` and ``audio_backbone.*``.

    Heads, optimizers, memory banks and cluster labels are left behind. The file is read
    weights-only.

    Args:
        source (str): Whose it is: a key of ``PEERS``.
        path (str | Path): The peer's file.
        out (str | Path): File to write: ``state_dict``, and ``meta`` with where the weights come
            from, the backbones that take them, the clips they were trained on, mean and standard
            deviation (0 to 255), and licence.

    Returns:
        dict: ``meta``, and the number of keys of each part under ``num_keys``.

    Raises:
        ValueError: If ``source`` is unknown, or ``out`` is ``path``.
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is no checkpoint of this source: lists keys that are missing,
            unknown or of another shape; or if a weight is infinite or not a number.
    """
    if source not in PEERS:
        raise ValueError(f"unknown source {source!r}: expected one of {', '.join(PEERS)}")
    peer, path, out = PEERS[source], Path(path), Path(out)
    if out.exists() and out.samefile(path):
        raise ValueError(f"{out} would overwrite the file that it is made from")
    prefixes = {peer.visual_prefix: "visual_backbone."}
    if peer.audio_prefix is not None:
        prefixes[peer.audio_prefix] = "audio_backbone."

    state, dropped = {}, 0
    for key, value in _read_weights(path, peer).items():
        if re.match(peer.dropped, key):
            dropped += 1
            continue
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        name = key if prefix is None else prefixes[prefix] + key.removeprefix(prefix)
        state[name] = value.contiguous()
    problems = list_mismatches(state, _expected_state(peer))
    if problems:
        raise RuntimeError(f"{path} is no checkpoint of {source}:\n  {problems}")
    refuse_non_finite(state, path)

    meta = dict(
        source=source,
        url=peer.url,
        licence=peer.licence,
        file=path.name,
        sha256=file_sha256(path),
        variant=peer.variant,
        visual_backbone=dict(type="R2Plus1D", variant=peer.variant),
        audio_backbone=peer.audio_backbone,
        audio_input=peer.audio_input,
        mean=list(peer.mean),
        std=list(peer.std),
        input_size=list(peer.input_size),
        fps=peer.fps,
    )
    content = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=state), content)
    write_bytes(out, content.getbuffer())
    num_keys = Counter(key.split(".")[0] for key in state)
    return dict(meta, num_keys=dict(num_keys, dropped=dropped))
