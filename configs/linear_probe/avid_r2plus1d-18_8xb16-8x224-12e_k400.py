# Linear probes on the four stages of a frozen encoder (AVID's table 2): AVID's network and clips, 8
# frames at 16 fps. Whole frames become 256x256, their aspect not kept, of which a random 224x224,
# and in the test the middle, is seen. Single clips are judged by 25 a video, videos by 10.
_base_ = [
    "../_base_/models/linear_probe_r2plus1d-18.py",
    "../_base_/lists/kinetics400.py",
    "../_base_/datasets/recognition_avid-8x224.py",
    "../_base_/schedules/linear_probe_12e.py",
    "../_base_/default_runtime.py",
]

batch_size = 16  # clips a GPU; the learning rate is for 128 in all, see auto_scale_lr

model = dict(
    backbone=dict(variant="avid"),
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
)
clip = dict(type="SampleClips", duration=8 / 16)
decode = dict(type="DecodeAudioVisual", fps=16, clip_len=8)
resize = dict(type="Resize", scale=(256, 256), keep_ratio=False)
train_pipeline = [
    _base_.train_pipeline[0],
    clip,
    decode,
    resize,
    dict(type="RandomCrop", size=224),
    dict(type="Flip"),
    _base_.train_pipeline[-1],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(**clip, num_clips=25, mode="uniform"),
    decode,
    resize,
    dict(type="CenterCrop", crop_size=224),
    _base_.test_pipeline[-1],
]
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(repeats=1),  # clips of each video an epoch
    dataset=dict(**_base_.train_videos, on_error="replace", pipeline=train_pipeline),
)
test_dataloader = dict(dataset=dict(**_base_.test_videos, pipeline=test_pipeline))
test_evaluator = dict(_delete_=True, type="MultiStageAccuracy", num_video_clips=10)
default_hooks = dict(
    result=dict(type="ResultHook", benchmark="k400-linear", protocol="avid-8x224"),
)
evaluation = dict(splits=None)  # there are none
