# GDT's fine-tuning on HMDB51.
_base_ = ["../_base_/recipes/finetune_gdt-32x128.py", "../_base_/lists/hmdb51.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(cls_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(dataset=_base_.train_videos)
test_dataloader = dict(dataset=_base_.test_videos)
default_hooks = dict(result=dict(benchmark="hmdb51-finetune", split=_base_.split))
