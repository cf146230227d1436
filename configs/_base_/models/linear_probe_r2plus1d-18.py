# Linear probes on the four stages of a frozen R(2+1)D-18.
_base_ = ["recognizer_r2plus1d-18.py"]

model = dict(
    type="FrozenRecognizer3D",
    backbone=dict(out_indices=(0, 1, 2, 3)),
    cls_head=dict(_delete_=True, type="MultiStageLinearHead", num_classes=400),
)
