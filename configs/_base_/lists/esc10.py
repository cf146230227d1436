# ESC-10 (ten classes of ESC-50, same folds) as tools/data/make_lists.py leaves it: a list a fold.
data_root = "data/esc50"
classes = f"{data_root}/annotations/esc10_classes.txt"
recordings = dict(
    ann_file=[f"{data_root}/annotations/esc10_fold{fold}.txt" for fold in range(1, 6)],
    data_prefix=dict(audio=f"{data_root}/audio"),
)
