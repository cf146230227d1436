"""Finding and reading config files, by path or by `cmac_mm::name`."""

import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

PREFIX = "cmac_mm::"

# Top-level fields that mmengine reads from the config beside the Runner's own arguments, and
# "evaluation", which tools/sound_classification.py reads.
_RUNNER_FIELDS = {
    *inspect.signature(Runner.__init__).parameters,
    "compile",
    "evaluation",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "sync_bn",
} - {"self", "cfg"}


def config_path(name: str) -> str:
    """Find a config of this project.

    Works in a checkout, an editable install and a wheel. In a config that MMAction2's own launchers
    read, use it as `_base_ = [__import__('cmac_mm').config_path('cmac_k400.py')]`.

    Args:
        name (str): Path inside the `configs` folder, e.g. `cmac_k400.py`.

    Returns:
        str: The absolute path of the file.

    Raises:
        FileNotFoundError: If there is no such config; names the nearest ones.
    """
    package = Path(__file__).resolve().parent.parent
    # A wheel carries the configs inside the package; a checkout beside it.
    folder = next(
        (path for path in (package / ".mim/configs", package.parent / "configs") if path.is_dir()),
        None,
    )
    if folder is None:
        raise FileNotFoundError(f"cmac_mm at {package} was installed without its configs")
    path = folder / name
    if not path.is_file():
        known = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.py"))
        near = difflib.get_close_matches(name, known, n=3) or known
        raise FileNotFoundError(f"no config {name!r} in {folder}; there is: {', '.join(near)}")
    return str(path)


def load_config(config: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file.

    Args:
        config (str | Path): A path, or `cmac_mm::NAME` for a config of this project.
        options (Mapping[str, Any], optional): Values to override, keyed by dotted path, e.g.
            `{'train_dataloader.batch_size': 4}`. Default: None.

    Returns:
        Config: The config, with `options` merged in.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If an option's first key is not a field that the runner reads.
    """
    config = str(config)
    if config.startswith(PREFIX):
        config = config_path(config.removeprefix(PREFIX))
    elif not Path(config).is_file():
        raise FileNotFoundError(
            f"config file {config} does not exist; configs of this project can also be given as "
            f"{PREFIX}NAME"
        )
    cfg = Config.fromfile(config)
    if options:
        _check_options(cfg, options)
        cfg.merge_from_dict(dict(options))
    return cfg


def _check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse overrides that would silently do nothing."""
    for key in options:
        field = key.split(".", 1)[0]
        if field in _RUNNER_FIELDS:
            continue
        if field in cfg:
            raise ValueError(
                f"option {key}: {field} is a variable of the config file, already in use when "
                "options are merged, so that changing it would change nothing; override the "
                "fields that use it"
            )
        near = difflib.get_close_matches(field, _RUNNER_FIELDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"option {key}: the runner has no field {field!r}{hint}")
