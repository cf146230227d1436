# ESC-50 as tools/data/make_lists.py leaves it: a list a fold.
data_root = "data/esc50"
classes = f"{data_root}/annotations/esc50_classes.txt"
recordings = dict(
    ann_file=[f"{data_root}/annotations/esc50_fold{fold}.txt" for fold in range(1, 6)],
    data_prefix=dict(audio=f"{data_root}/audio"),
)
