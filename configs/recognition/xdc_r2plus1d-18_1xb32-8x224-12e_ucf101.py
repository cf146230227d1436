# XDC's fine-tuning on UCF101, 8 frames (its tables 1 to 5).
_base_ = ["../_base_/recipes/finetune_xdc-8x224.py", "../_base_/lists/ucf101.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(cls_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(dataset=_base_.train_videos)
test_dataloader = dict(dataset=_base_.test_videos)
default_hooks = dict(result=dict(benchmark="ucf101-finetune", split=_base_.split))
