"""Built-in set: short videos in which one object moves and sounds while others stay silent."""

from .kinds import HARD_KINDS, SHAPE_KINDS, band_hz
from .scene import Scene, draw_scene, render_frames
from .writer import make_sounding_shapes, read_ground_truth

__all__ = [
    "HARD_KINDS",
    "SHAPE_KINDS",
    "Scene",
    "band_hz",
    "draw_scene",
    "make_sounding_shapes",
    "read_ground_truth",
    "render_frames",
]
