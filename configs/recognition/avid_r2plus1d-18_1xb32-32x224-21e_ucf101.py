# AVID's fine-tuning on UCF101, 32 frames (its table 3).
_base_ = [
    "../_base_/recipes/finetune_avid-32x224.py",
    "../_base_/lists/ucf101.py",
    "../_base_/schedules/finetune_avid_21e.py",
]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(cls_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(
    sampler=dict(repeats=5),  # clips of each video an epoch
    dataset=_base_.train_videos,
)
test_dataloader = dict(dataset=_base_.test_videos)
default_hooks = dict(result=dict(benchmark="ucf101-finetune", split=_base_.split))
