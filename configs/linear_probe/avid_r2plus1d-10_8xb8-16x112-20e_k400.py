# Linear probes on the four stages of the small network of AVID's ablations (table 1a, figures 3 and
# 4b), 16 frames at 16 fps, 112x112. The authors' recipe: batch 64, 20 epochs, 25 clips a video.
_base_ = ["avid_r2plus1d-18_8xb16-8x224-12e_k400.py"]

batch_size = 8  # clips a GPU; the learning rate is for 64 in all, see auto_scale_lr

model = dict(backbone=dict(depth=10, stem_pool=False))
clip = dict(type="SampleClips", duration=1.0)
decode = dict(type="DecodeAudioVisual", fps=16, clip_len=16)
resize = dict(type="Resize", scale=(128, 128), keep_ratio=False)
train_pipeline = [
    _base_.train_pipeline[0],
    clip,
    decode,
    resize,
    dict(type="RandomCrop", size=112),
    *_base_.train_pipeline[-2:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(**clip, num_clips=25, mode="uniform"),
    decode,
    resize,
    dict(type="CenterCrop", crop_size=112),
    _base_.test_pipeline[-1],
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(num_video_clips=25)
param_scheduler = [
    dict(type="MultiStepLR", milestones=[8, 12, 15, 18], gamma=0.3, by_epoch=True),
]
train_cfg = dict(max_epochs=20)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(result=dict(protocol="avid-16x112, 9 layers"))
