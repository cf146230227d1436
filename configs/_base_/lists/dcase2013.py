# DCASE 2013 as tools/data/make_lists.py leaves it. The test list is the first.
data_root = "data/dcase2013"
classes = f"{data_root}/annotations/classes.txt"
recordings = dict(
    ann_file=[f"{data_root}/annotations/dcase2013_{part}.txt" for part in ("test", "train")],
    data_prefix=dict(audio=data_root),
)
