"""Models for torch.hub, such as torch.hub.load("PATH", "avid_cma_audioset", source="local").

PATH is that of the checkout. There is one function a released model, named as
cmac_mm.apis.list_models names it, with _ for -.
"""

from functools import partial as _partial

from cmac_mm.apis import get_model as _get_model
from cmac_mm.apis import list_models as _list_models
from cmac_mm.zoo import find_entry as _find_entry

dependencies = ["torch", "torchvision", "torchaudio", "mmengine", "mmcv", "mmaction", "av"]


def _entry_point(name: str) -> _partial:
    """`get_model` of one model, with what `torch.hub.help` prints."""
    function = _partial(_get_model, name)
    entry = _find_entry(name)
    function.__doc__ = (
        f"{entry.method}, pretrained on {entry.pretraining}. Takes modality, file and device of "
        "cmac_mm.apis.get_model."
    )
    return function


globals().update({name.replace("-", "_"): _entry_point(name) for name in _list_models()})
