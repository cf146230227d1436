# XDC's fine-tuning on UCF101, 8 frames (its tables 1 to 5).
_base_ = [
    "../_base_/models/recognizer_r2plus1d-18.py",
    "../_base_/datasets/recognition_xdc-8x224.py",
    "../_base_/schedules/finetune_xdc_12e.py",
    "../_base_/default_runtime.py",
]

split = 1  # 1, 2 or 3
pretrained = None  # a checkpoint whose encoder to start from; None: from scratch
data_root = "data/ucf101"
video_dir = f"{data_root}/videos"
batch_size = 32  # clips a GPU; the learning rate is for 32 in all, see auto_scale_lr
num_workers = 8  # a GPU
work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{split}"

model = dict(
    data_preprocessor=dict(
        mean=[110.2008, 100.63983, 95.99475],
        std=[58.14765, 56.46975, 55.332195],
    ),
    backbone=dict(variant="caffe2", init_cfg=dict(checkpoint=pretrained)),
    cls_head=dict(num_classes=101),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
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
    result=dict(type="ResultHook", benchmark="ucf101-finetune", protocol="xdc-8x224", split=split),
)
