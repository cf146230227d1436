# ESC-50 as in the AVID paper: a linear one-vs-all SVM on the last stage before pooling.
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc50.py"]

model = dict(pooling="none")
test_dataloader = dict(dataset=_base_.recordings)
# 63 times as many features as pooled ones: stronger regularisation. At greater values of C the
# solver takes hours, not minutes.
evaluation = dict(
    benchmark="esc50",
    protocol="avid-10x2s",
    class_file=_base_.classes,
    svm=dict(C=[1e-8, 1e-7, 1e-6, 1e-5]),
)
