# CMAC's fine-tuning on HMDB51: the headline numbers of its table 4.
_base_ = [
    "../_base_/models/recognizer_r2plus1d-18.py",
    "../_base_/datasets/recognition_cmac-32x128.py",
    "../_base_/schedules/finetune_cmac_12e.py",
    "../_base_/default_runtime.py",
]

split = 1  # 1, 2 or 3
pretrained = None  # a checkpoint whose encoder to start from; None: from scratch
data_root = "data/hmdb51"
video_dir = f"{data_root}/videos"
batch_size = 16  # clips a GPU; the learning rate is for 16 in all, see auto_scale_lr
num_workers = 8  # a GPU
work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{split}"

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
    backbone=dict(init_cfg=dict(checkpoint=pretrained)),
    cls_head=dict(num_classes=51),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(
        ann_file=f"{data_root}/annotations/hmdb51_train_split{split}.txt",
        data_prefix=dict(video=video_dir),
    ),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(
        ann_file=f"{data_root}/annotations/hmdb51_test_split{split}.txt",
        data_prefix=dict(video=video_dir),
    ),
)
default_hooks = dict(
    result=dict(
        type="ResultHook", benchmark="hmdb51-finetune", protocol="cmac-32x128", split=split
    ),
)
