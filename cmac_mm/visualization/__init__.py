"""Pictures of attention maps and of neighbours."""

from .attention import overlay_attention, resize_attention
from .neighbours import NeighbourRow, neighbour_sheet
from .sheet import SheetRow, attention_sheet, sheet_row

__all__ = [
    "NeighbourRow",
    "SheetRow",
    "attention_sheet",
    "neighbour_sheet",
    "overlay_attention",
    "resize_attention",
    "sheet_row",
]
