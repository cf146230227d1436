"""What takes most of the time in runs of a few steps, done once a process."""

import functools

import mmengine.config.config as config
from mmengine.config import utils
from yapf.yapflib.yapf_api import FormatCode

read = functools.cache(utils.load)


def configs_once() -> None:
    """Have the same config formatted once, and MMAction2's list of its configs read once.

    MMEngine formats its config for every checkpoint, which takes longer than a step of a thin
    network, and reads 36 files of MMAction2's for every config.
    """
    config.FormatCode = _format
    utils.load = read


def _format(text, style_config):
    return _format_once(text, tuple(style_config.items()))


@functools.lru_cache(maxsize=100)
def _format_once(text, style):
    return FormatCode(text, style_config=dict(style))
