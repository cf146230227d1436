"""Pictures of attention maps, of neighbours, and of what the network gets."""

from .attention import overlay_attention, resize_attention
from .browse import SeenClip, browse_sheet, look, save_clip
from .neighbours import NeighbourRow, neighbour_sheet
from .sheet import SheetRow, attention_sheet, sheet_row

__all__ = [
    "NeighbourRow",
    "SeenClip",
    "SheetRow",
    "attention_sheet",
    "browse_sheet",
    "look",
    "neighbour_sheet",
    "overlay_attention",
    "resize_attention",
    "save_clip",
    "sheet_row",
]
