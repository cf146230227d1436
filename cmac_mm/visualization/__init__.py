"""Pictures of attention maps."""

from .attention import overlay_attention, resize_attention
from .sheet import SheetRow, attention_sheet, sheet_row

__all__ = ["SheetRow", "attention_sheet", "overlay_attention", "resize_attention", "sheet_row"]
