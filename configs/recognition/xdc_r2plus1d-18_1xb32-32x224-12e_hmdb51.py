# XDC's fine-tuning on HMDB51, 32 frames (its table 7).
_base_ = ["../_base_/recipes/finetune_xdc-32x224.py", "../_base_/lists/hmdb51.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(cls_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(dataset=_base_.train_videos)
test_dataloader = dict(dataset=_base_.test_videos)
default_hooks = dict(result=dict(benchmark="hmdb51-finetune", split=_base_.split))
