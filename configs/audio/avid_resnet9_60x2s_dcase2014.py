# AVID's protocol for another network than its own: SVM on the last stage of ResNet-9 before
# pooling, 60 clips of a recording to train, 10 to test.
_base_ = ["../_base_/recipes/sound_60x2s.py", "../_base_/lists/dcase2014.py"]

model = dict(pooling="none")
test_dataloader = dict(dataset=_base_.recordings)
# 63 times as many features as pooled ones: stronger regularisation.
evaluation = dict(
    benchmark="dcase2014",
    protocol="avid-60x2s, ResNet-9",
    class_file=_base_.classes,
    test_clips=10,
    svm=dict(C=[1e-8, 1e-7, 1e-6, 1e-5]),
)
