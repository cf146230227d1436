"""Pictures of attention maps, of neighbours, of clusters, and of what the network gets."""

from .agreement import AgreementCell, AgreementRow, agreement_sheet
from .attention import overlay_attention, resize_attention
from .browse import SeenClip, browse_sheet, look, save_clip
from .clip_media import CLIP_STYLE, ClipMedia, read_clip, read_clips
from .cluster_page import (
    PageClip,
    PageCluster,
    choose_clusters,
    nearest_rows,
    write_cluster_page,
)
from .confusion import confusion_picture
from .frames import middle_frame
from .line_chart import draw_curves
from .neighbours import NeighbourRow, neighbour_sheet
from .overlay_video import overlay_video
from .predictions import draw_prediction, prediction_picture
from .result_chart import draw_report
from .search_page import hit_figures, write_search_page
from .sheet import SheetRow, attention_sheet, sheet_image, sheet_row
from .spectrogram_strip import row_centres
from .video_figure import video_figure

__all__ = [
    "CLIP_STYLE",
    "AgreementCell",
    "AgreementRow",
    "ClipMedia",
    "NeighbourRow",
    "PageClip",
    "PageCluster",
    "SeenClip",
    "SheetRow",
    "agreement_sheet",
    "attention_sheet",
    "browse_sheet",
    "choose_clusters",
    "confusion_picture",
    "draw_curves",
    "draw_prediction",
    "draw_report",
    "hit_figures",
    "look",
    "middle_frame",
    "nearest_rows",
    "neighbour_sheet",
    "overlay_attention",
    "overlay_video",
    "prediction_picture",
    "read_clip",
    "read_clips",
    "resize_attention",
    "row_centres",
    "save_clip",
    "sheet_image",
    "sheet_row",
    "video_figure",
    "write_cluster_page",
    "write_search_page",
]
