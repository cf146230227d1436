# AVID's fine-tuning on UCF101, 8 frames (its table 3).
_base_ = [
    "../_base_/models/recognizer_r2plus1d-18.py",
    "../_base_/datasets/recognition_avid-8x224.py",
    "../_base_/schedules/finetune_avid_21e.py",
    "../_base_/default_runtime.py",
]

split = 1  # 1, 2 or 3
pretrained = None  # a checkpoint whose encoder to start from; None: from scratch
data_root = "data/ucf101"
video_dir = f"{data_root}/videos"
batch_size = 64  # clips a GPU; the learning rate is for 64 in all, see auto_scale_lr
num_workers = 8  # a GPU
work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{split}"

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
    backbone=dict(variant="avid", init_cfg=dict(checkpoint=pretrained)),
    cls_head=dict(type="MaxPoolHead", num_classes=101, dropout_ratio=0.5),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(repeats=10),  # clips of each video an epoch
    dataset=dict(
        ann_file=f"{data_root}/annotations/ucf101_train_split{split}.txt",
        data_prefix=dict(video=video_dir),
    ),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(
        ann_file=f"{data_root}/annotations/ucf101_test_split{split}.txt",
        data_prefix=dict(video=video_dir),
    ),
)
default_hooks = dict(
    freeze_backbone=dict(type="FreezeBackboneHook", num_epochs=5),  # the classifier first
    result=dict(type="ResultHook", benchmark="ucf101-finetune", protocol="avid-8x224", split=split),
)
