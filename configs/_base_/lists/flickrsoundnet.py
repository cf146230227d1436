# Flickr-SoundNet's annotated test pictures: the list of 250 names, and their boxes, NAME.xml.
data_root = "data/flickrsoundnet"
benchmark = "flickrsoundnet-localisation"
annotations = dict(
    ann_file=f"{data_root}/annotations/flickr_test.csv",
    boxes=f"{data_root}/annotations/boxes",
)
stills = dict(
    **annotations,
    data_prefix=dict(picture=f"{data_root}/frames", audio=f"{data_root}/audio"),
)
videos = dict(**annotations, data_prefix=dict(video=f"{data_root}/videos"))
