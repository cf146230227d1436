"""cmac_mm: video and audio representations from unlabelled videos with sound, for MMAction2.

Importing the package makes MMAction2 work with today's libraries (:mod:`cmac_mm.compat`) and
registers all parts, so that ``custom_imports = dict(imports=['cmac_mm'])`` in a config is enough.
"""

from . import compat

compat.apply()  # before anything imports mmaction.models

from . import datasets, engine, evaluation, models  # noqa: E402
from .utils import config_path, load_config  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    "__version__",
    "config_path",
    "datasets",
    "engine",
    "evaluation",
    "load_config",
    "models",
]
