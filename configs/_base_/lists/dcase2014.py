# What papers call DCASE 2014; lists of your own division fit as well. The test list is the first.
data_root = "data/dcase2014"
classes = f"{data_root}/annotations/classes.txt"
recordings = dict(
    ann_file=[f"{data_root}/annotations/dcase2014_{part}.txt" for part in ("test", "train")],
    data_prefix=dict(audio=data_root),
)
