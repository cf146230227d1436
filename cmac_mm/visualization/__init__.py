"""Pictures of attention maps, of neighbours, and of what the network gets."""

from .agreement import AgreementCell, AgreementRow, agreement_sheet
from .attention import overlay_attention, resize_attention
from .browse import SeenClip, browse_sheet, look, save_clip
from .confusion import confusion_picture
from .frames import middle_frame
from .neighbours import NeighbourRow, neighbour_sheet
from .result_chart import draw_report
from .sheet import SheetRow, attention_sheet, sheet_row

__all__ = [
    "AgreementCell",
    "AgreementRow",
    "NeighbourRow",
    "SeenClip",
    "SheetRow",
    "agreement_sheet",
    "attention_sheet",
    "browse_sheet",
    "confusion_picture",
    "draw_report",
    "look",
    "middle_frame",
    "neighbour_sheet",
    "overlay_attention",
    "resize_attention",
    "save_clip",
    "sheet_row",
]
