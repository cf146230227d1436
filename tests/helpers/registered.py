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
    # MMEngine looks for initialisers in its own registry
    found = {**part.parent.module_dict, **part.module_dict}
    home = f"cmac_mm.{package}"
    return {k: cls for k, cls in sorted(found.items()) if f"{cls.__module__}.".startswith(home)}
