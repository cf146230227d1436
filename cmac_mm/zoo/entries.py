"""Entries of released encoders."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from .fetch import download

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Entry of a released encoder.

    Attributes:
        name (str): What :func:`list_models` calls it.
        method (str): What it was pretrained with.
        pretraining (str): The data that it was pretrained on.
        labels (bool): Whether with labels. Defaults to False.
        format (str, optional): Whose layout the file has, a key of ``FORMATS``. Defaults to None:
            it is a checkpoint of this project.
        url (str, optional): Where the file is. Defaults to None: in the package.
        sha256 (str, optional): Its SHA-256 or the beginning of it. Defaults to None: its name
            says it, or nobody does.
        config (str, optional): Config of a checkpoint of this project, ``cmac_mm::NAME``.
        file (str, optional): The file's name inside the package's folder ``zoo``.
        licence (str, optional): Of a checkpoint of this project; else ``FORMATS`` says it.
        published (dict[str, float]): The authors' figures, in percent: ``ucf101``, ``hmdb51``
            (fine-tuned, mean of three splits), ``kinetics_probe``. Defaults to none.
    """

    name: str
    method: str
    pretraining: str
    labels: bool = False
    format: str | None = None
    url: str | None = None
    sha256: str | None = None
    config: str | None = None
    file: str | None = None
    licence: str | None = None
    published: dict[str, float] = field(default_factory=dict)

    def fetch(self) -> Path:
        """Get the path of the file, downloading it if needed.

        Raises:
            RuntimeError: If it cannot be fetched or is another file than expected.
        """
        if self.file is not None:
            return _FOLDER / self.file
        assert self.url is not None  # what is not in the package is fetched
        return download(self.url, self.sha256)


@cache
def read_entries() -> dict[str, Entry]:
    """Read all entries by name, from ``models.yml``."""
    content = yaml.safe_load((_FOLDER / "models.yml").read_text(encoding="utf-8"))
    return {name: Entry(name=name, **fields) for name, fields in content.items()}


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the released encoders.

    Example:
        >>> from cmac_mm.apis import list_models
        >>> list_models("avid*")
        ['avid-cma_audioset', 'avid-cma_kinetics', 'avid_audioset', 'avid_kinetics']

    Args:
        pattern (str): Which ones, as in file names: ``'avid*'``. Defaults to ``'*'``: all.

    Returns:
        list[str]: The names, sorted.
    """
    return sorted(name for name in read_entries() if fnmatchcase(name, pattern))


def find_entry(name: str) -> Entry:
    """Find the entry of a name.

    Raises:
        ValueError: If there is none; says which names are near.
    """
    entries = read_entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=3) or sorted(entries)
        raise ValueError(f"no model {name!r}; there is: {', '.join(near)}")
    return entries[name]
