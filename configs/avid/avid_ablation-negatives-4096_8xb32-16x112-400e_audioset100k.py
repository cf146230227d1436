# K = 4096 negatives, of which the paper says that they make no difference to 1024.
_base_ = ["avid_ablation_8xb32-16x112-400e_audioset100k.py"]

model = dict(num_negatives=4096)
