"""Layouts of other projects' checkpoints.

The weights are theirs; their code is not: which key means what is in the tables below.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor


class _LeftOut:
    """Stands for an object that nobody needs: takes what was pickled of it and forgets it."""

    def __setstate__(self, state: object) -> None:
        """Forget the state."""


def _plain_dict(_factory: type) -> dict:
    """Stand for `defaultdict`, which torch refuses to fill."""
    return {}


# GDT keeps its options and its learning rate schedule, with the optimizer inside, in the file.
HARMLESS_CLASSES = (
    (_LeftOut, "argparse.Namespace"),
    (_LeftOut, "torch.optim.lr_scheduler.MultiStepLR"),
    (_LeftOut, "torch.optim.sgd.SGD"),
    (Counter, "collections.Counter"),
    (_plain_dict, "collections.defaultdict"),
    (dict, "builtins.dict"),
)
"""What may be unpickled beside tensors and plain values: what to use in its place, and its name."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """Layout of a project's checkpoints.

    Attributes:
        config (str): Config of a model of ours that takes the weights, and of the clips that it
            was trained on, ``cmac_mm::NAME``.
        prefixes (dict[str, str]): Beginnings of keys, and what takes their place. A key that
            begins with none of them goes to ``visual_backbone.`` where '' is one.
        dropped (str): Regular expression of keys that are no part of the model.
        licence (str): Of the weights.
        commercial_use (bool): Whether that allows commercial use.
        source (str): Where they come from.
    """

    config: str
    prefixes: dict[str, str] = field(default_factory=dict)
    dropped: str
    licence: str
    commercial_use: bool
    source: str


_GDT_TOWERS = {
    "video_network.base.": "visual_backbone.",
    "audio_network.base.": "audio_backbone.",
}
FORMATS = {
    "torchvision": Format(
        config="cmac_mm::_base_/released/torchvision.py",
        prefixes={"": "visual_backbone."},
        dropped=r"fc\.",
        licence="BSD-3-Clause; trained with the labels of Kinetics-400",
        commercial_use=True,
        source="https://github.com/pytorch/vision",
    ),
    "xdc": Format(
        config="cmac_mm::_base_/released/xdc.py",
        prefixes={"": "visual_backbone."},
        dropped=r"fc\.",
        licence="MIT",
        commercial_use=True,
        source="https://github.com/HumamAlwassel/XDC",
    ),
    "avid": Format(
        config="cmac_mm::_base_/released/avid.py",
        prefixes={
            "video_model.": "visual_backbone.",
            "audio_model.": "audio_backbone.",
            "video_proj.projection.": "projections.visual.",
            "audio_proj.projection.": "projections.audio.",
        },
        dropped="(?!)",  # nothing
        licence="CC-BY-NC: no commercial use",
        commercial_use=False,
        source="https://github.com/facebookresearch/AVID-CMA",
    ),
    "gdt": Format(
        config="cmac_mm::_base_/released/gdt.py",
        prefixes={
            **_GDT_TOWERS,
            # Dropout, linear layer, batch norm, ReLU, dropout, linear layer.
            **{
                f"mlp_{letter}.block_forward.{theirs}.": f"projections.{name}.{ours}."
                for letter, name in (("v", "visual"), ("a", "audio"))
                for theirs, ours in ((2, 0), (4, 1), (8, 3))
            },
        },
        dropped=r"audio_network\.base\.fc\.",
        licence="contradictory at its source: ask the authors before any use but research",
        commercial_use=False,
        source="https://github.com/facebookresearch/GDT",
    ),
    "selavi": Format(
        config="cmac_mm::_base_/released/selavi.py",
        prefixes=_GDT_TOWERS,
        dropped=r"mlp_[va]\d*\.",  # scores of clusters, no embedding
        licence="CC-BY-NC: no commercial use",
        commercial_use=False,
        source="https://github.com/facebookresearch/selavi",
    ),
}


def recognise(weights: Mapping[str, Tensor], path: str | Path) -> str:
    """Recognise the layout of a file by its keys and shapes.

    Args:
        weights (Mapping[str, Tensor]): The weights, without 'module.' in front.
        path (str | Path): Name of the file, for messages.

    Returns:
        str: A key of ``FORMATS``.

    Raises:
        RuntimeError: If it is none of them; says what it looks like.
    """
    heads = Counter(key.split(".")[0] for key in weights)
    if {"video_model", "audio_model"} <= heads.keys():
        return "avid"
    if {"video_network", "audio_network"} <= heads.keys():
        return "gdt" if {"mlp_v", "mlp_a"} <= heads.keys() else "selavi"
    # torchvision has one number of middle channels in a block, Caffe2 one for each convolution.
    convs = [weights.get(f"layer2.0.conv{number}.0.0.weight") for number in (1, 2)]
    found = [conv for conv in convs if conv is not None and conv.ndim == 5]
    if "stem" in heads and len(found) == 2:
        return "torchvision" if len(found[0]) == len(found[1]) else "xdc"
    what = f"its keys begin with {', '.join(sorted(heads))}"
    if not weights:
        what = "it holds no weights"
    elif {"visual_backbone", "audio_backbone"} & heads.keys():
        what = "it is a checkpoint of this project, or converted already"
    elif "conv1.weight" in weights and weights["conv1.weight"].ndim == 4:
        what = "it looks like a 2-D ResNet"
    raise RuntimeError(f"{path} is no checkpoint of {', '.join(FORMATS)}: {what}")
