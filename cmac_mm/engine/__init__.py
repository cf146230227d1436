"""Parts that act on the runner."""

from . import hooks

__all__ = ["hooks"]
