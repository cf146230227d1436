"""Finding and reading config files, by path or by `cmac_mm::name`."""

import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from .config_variables import read_config

PREFIX = "cmac_mm::"

# Top-level fields that mmengine reads from the config beside the Runner's own arguments, and
# "evaluation", which tools/evaluate.py reads. Variables can have an effect on nothing else.
_RUNNER_FIELDS = {
    *inspect.signature(Runner.__init__).parameters,
    "compile",
    "evaluation",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "runner_type",
    "strategy",
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
    folder = project_folder("configs")
    path = folder / name
    if not path.is_file():
        known = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.py"))
        near = difflib.get_close_matches(name, known, n=3) or known
        raise FileNotFoundError(f"no config {name!r} in {folder}; there is: {', '.join(near)}")
    return str(path)


def project_folder(name: str) -> Path:
    """Find a folder that lies beside the package in a checkout, and inside it in a wheel.

    Args:
        name (str): `'configs'` or `'tools'`.

    Returns:
        Path: The folder.

    Raises:
        FileNotFoundError: If the package was installed without it.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / ".mim" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"cmac_mm at {package} was installed without its {name}")


def load_config(config: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file.

    Args:
        config (str | Path): A path, or `cmac_mm::NAME` for a config of this project.
        options (Mapping[str, Any], optional): Values to override. With a dotted path as key, e.g.
            `{'train_dataloader.batch_size': 4}`, they are merged into the finished config. With the
            name of a variable that the file or one of its bases assigns, e.g.
            `{'data_root': '/data'}`, they replace the assigned values, and all that is made from
            the variable follows. Defaults to None.

    Returns:
        Config: The config, with `options` in it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If an option is neither a field that the runner reads nor a variable, or would
            change nothing.
    """
    config = str(config)
    if config.startswith(PREFIX):
        config = config_path(config.removeprefix(PREFIX))
    elif not Path(config).is_file():
        raise FileNotFoundError(
            f"config file {config} does not exist; configs of this project can also be given as "
            f"{PREFIX}NAME"
        )
    cfg, declared = read_config(config)
    if not options:
        return cfg
    variables = {k: v for k, v in options.items() if k in declared and k not in _RUNNER_FIELDS}
    fields = {name: value for name, value in options.items() if name not in variables}
    _check_fields(cfg, fields, declared)
    if variables:
        cfg = _set_variables(cfg, variables)
    cfg.merge_from_dict(fields)
    return cfg


def _set_variables(cfg: Config, values: Mapping[str, Any]) -> Config:
    """Read a config anew with other values of its variables; refuse one that changes nothing."""
    new, _ = read_config(cfg.filename, values)
    for name, value in values.items():
        if cfg.get(name) == value:
            continue
        others = {key: other for key, other in values.items() if key != name}
        without, _ = read_config(cfg.filename, others)
        if all(new.get(field) == without.get(field) for field in _RUNNER_FIELDS):
            raise ValueError(
                f"option {name}: the variable changes nothing in {cfg.filename}: no field is made "
                "from it, or that file or another option sets the field again; override the fields "
                "themselves"
            )
    return new


def _check_fields(cfg: Config, options: Mapping[str, Any], variables: set[str]) -> None:
    """Refuse overrides that would silently do nothing."""
    for key in options:
        field = key.split(".", 1)[0]
        if field in _RUNNER_FIELDS:
            continue
        if field in variables:
            raise ValueError(
                f"option {key}: {field} is a variable of the config file, which can be replaced as "
                f"a whole alone ({field}=VALUE); or override the fields that use it"
            )
        if field in cfg:
            raise ValueError(
                f"option {key}: {field} is a variable of the config file that cannot be set from "
                "outside (only variables assigned in Python files with _base_ can); override the "
                "fields that use it"
            )
        near = difflib.get_close_matches(field, {*_RUNNER_FIELDS, *variables}, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"option {key}: {cfg.filename} has no variable and the runner no field {field!r}{hint}"
        )
