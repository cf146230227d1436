"""cmac_mm: video and audio representations from unlabelled videos with sound, for MMAction2.

Importing the package makes MMAction2 work with today's libraries (:mod:`cmac_mm.compat`) and adds
its parts to MMAction2's registries, so that ``custom_imports = dict(imports=['cmac_mm'])`` in a
config is enough. The modules are imported when a registry is first asked for a part.
"""

from importlib import import_module
from types import ModuleType

from . import compat
from .version import __version__

compat.apply()

from .utils.config import config_path, load_config  # noqa: E402

_PACKAGES = ("apis", "datasets", "engine", "evaluation", "features", "mining", "models", "zoo")

__all__ = ["__version__", "config_path", "load_config", *_PACKAGES]


def _register() -> None:
    """Name this package's modules to MMAction2's registries, which import them when asked."""
    from mmaction import registry

    for name, module in (
        ("MODELS", "models"),
        ("WEIGHT_INITIALIZERS", "models"),
        ("DATASETS", "datasets"),
        ("DATA_SAMPLERS", "datasets"),
        ("TRANSFORMS", "datasets"),
        ("METRICS", "evaluation"),
        ("HOOKS", "engine"),
        ("LOOPS", "engine"),
        ("OPTIM_WRAPPERS", "engine"),
    ):
        part = getattr(registry, name)
        location = f"{__name__}.{module}"
        if part._imported:  # it was asked before
            import_module(location)
        else:
            part._locations.append(location)


_register()


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
