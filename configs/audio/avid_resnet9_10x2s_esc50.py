# AVID's protocol for another network than its own: a linear one-vs-all SVM on the last stage of
# ResNet-9 before pooling. The paper's figures are of avid_audionet_10x2s_esc50.py.
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc50.py"]

model = dict(pooling="none")
test_dataloader = dict(dataset=_base_.recordings)
# 63 times as many features as pooled ones: stronger regularisation.
evaluation = dict(
    benchmark="esc50",
    protocol="avid-10x2s, ResNet-9",
    class_file=_base_.classes,
    svm=dict(C=[1e-8, 1e-7, 1e-6, 1e-5]),
)
