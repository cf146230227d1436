# AVID's fine-tuning on HMDB51, 8 frames (its table 3).
_base_ = [
    "../_base_/recipes/finetune_avid-8x224.py",
    "../_base_/lists/hmdb51.py",
    "../_base_/schedules/finetune_avid_15e.py",
]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.2)
    ),
    cls_head=dict(num_classes=_base_.num_classes),
)
train_dataloader = dict(
    sampler=dict(repeats=25),  # clips of each video an epoch
    dataset=_base_.train_videos,
)
test_dataloader = dict(dataset=_base_.test_videos)
default_hooks = dict(result=dict(benchmark="hmdb51-finetune", split=_base_.split))
