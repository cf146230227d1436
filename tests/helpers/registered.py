"""Everything that cmac_mm adds to MMAction2's registries."""

from mmaction import registry

import cmac_mm  # noqa: F401

REGISTRIES = (
    "MODELS",
    "WEIGHT_INITIALIZERS",
    "DATASETS",
    "DATA_SAMPLERS",
    "TRANSFORMS",
    "METRICS",
    "HOOKS",
    "LOOPS",
    "OPTIM_WRAPPERS",
)


def registered(name, package=""):
    """Our classes in one registry by name; only those of a package such as ``'models.heads'``."""
    part = getattr(registry, name)
    part.import_from_location()
    home = f"cmac_mm.{package}"
    return {
        key: found
        for key, found in sorted(part.module_dict.items())
        if f"{found.__module__}.".startswith(home)
    }
