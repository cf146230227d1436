"""The version of the package, and that of what it makes of files."""

__version__ = "0.2.0"

FRONT_END_VERSION = 2
"""Raised whenever the same config gives other pictures, sounds or spectrograms of the same file, so
that features on disk are computed again."""
