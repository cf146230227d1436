"""Misspelt options in configs are refused, and the nearest right name is told."""

import inspect

import pytest
from helpers.registered import registered
from mmaction import registry as registries
from mmaction.registry import HOOKS, MODELS, TRANSFORMS
from mmengine.registry import Registry, init_default_scope
from torch.utils.data import DataLoader

from cmac_mm.datasets import ResumableSampler

KINDS = ("DATASETS", "HOOKS", "LOOPS", "METRICS", "MODELS", "OPTIM_WRAPPERS", "TRANSFORMS")
OURS = [
    pytest.param(getattr(registries, kind), name, id=name)
    for kind in KINDS
    for name in registered(kind)
]
# Where other options are passed on, Python looks for the required ones first.
REQUIRED = {
    "AudioVisualDataset": dict(ann_file="list.txt", pipeline=[]),
    "MaxPoolHead": dict(num_classes=3, in_channels=4),
    "ResumableTrainLoop": dict(
        runner=None, dataloader=DataLoader([1], sampler=ResumableSampler([1])), max_epochs=1
    ),
}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def test_there_are_hooks_among_them():
    assert len([param for param in OURS if param.values[0] is HOOKS]) >= 13


@pytest.mark.parametrize(("registry", "name"), OURS)
def test_no_class_swallows_an_option(registry, name):
    with pytest.raises(TypeError, match=f"{name} has no option 'zzz'; there is: "):
        registry.build(dict(type=name, zzz=1, **REQUIRED.get(name, {})))


@pytest.mark.parametrize(
    ("registry", "cfg", "right"),
    [
        (HOOKS, dict(type="RetrievalMonitorHook", intervall=2), "interval"),
        (HOOKS, dict(type="ResultHook", benchmark="x", protocoll="y"), "protocol"),
        # An option of the class that it inherits from, and passes options on to.
        (HOOKS, dict(type="SafeCheckpointHook", save_bets="auto"), "save_best"),
        (HOOKS, dict(type="SafeCheckpointHook", max_keep_ckpt=3), "max_keep_ckpts"),
        (TRANSFORMS, dict(type="SampleClips", durations=1.0), "duration"),
        (MODELS, dict(type="MaxPoolHead", num_classes=3, in_channels=4, cats=0.1), None),
        (
            MODELS,
            dict(type="MaxPoolHead", num_classes=3, in_channels=4, dropout_ration=0.1),
            "dropout_ratio",
        ),
        (TRANSFORMS, dict(type="Flip", flip_ration=0.5), "flip_ratio"),  # MMAction2's own
    ],
)
def test_names_the_nearest_option(registry, cfg, right):
    message = f"{cfg['type']} has no option '{list(cfg)[-1]}'; "
    message += f"did you mean '{right}'" if right else "there is: num_classes, in_channels, "
    with pytest.raises(TypeError, match=message):
        registry.build(cfg)


def test_says_where_in_a_config_of_several_levels():
    cfg = dict(type="PerClip", transforms=[dict(type="RandomCrop", sizes=32)])
    with pytest.raises(TypeError, match=r"^RandomCrop .* did you mean 'size'"):
        TRANSFORMS.build(cfg)


def test_errors_inside_a_class_come_through():
    registry = Registry("test")

    @registry.register_module()
    class Outer:
        def __init__(self, size=1):
            dict_of = inspect.signature(self.inner)
            dict_of.bind(size=size)
            self.inner(size=size)

        def inner(self, **options):
            Other(**options)

    class Other:
        def __init__(self):
            pass

    with pytest.raises(TypeError, match=r"__init__\(\) got an unexpected keyword argument 'size'"):
        registry.build(dict(type="Outer", size=3))
