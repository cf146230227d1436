# VGG-SS: annotations as published; frames/NAME.jpg and audio/NAME.wav, or videos/NAME.mp4.
data_root = "data/vggss"
benchmark = "vggss-localisation"
annotations = dict(
    ann_file=f"{data_root}/annotations/vggss_test.csv",
    boxes=f"{data_root}/annotations/vggss.json",
)
stills = dict(
    **annotations,
    data_prefix=dict(picture=f"{data_root}/frames", audio=f"{data_root}/audio"),
)
videos = dict(**annotations, data_prefix=dict(video=f"{data_root}/videos"))
