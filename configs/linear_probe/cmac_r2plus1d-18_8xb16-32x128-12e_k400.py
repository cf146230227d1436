# The same probes on the clips that CMAC is pretrained on: 32 frames at 30 fps, 128x128. The stages
# are pooled to the same sizes, so that the probes are as large as AVID's.
_base_ = ["avid_r2plus1d-18_8xb16-8x224-12e_k400.py"]

protocol = "cmac-32x128"

model = dict(backbone=dict(variant="torchvision"))

pack = dict(type="PackActionInputs", meta_keys=("sample_idx", "filename"))
train_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 30),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="RandomResizedCrop"),
    dict(type="Resize", scale=(128, 128), keep_ratio=False),
    dict(type="Flip"),
    dict(type="FormatShape", input_format="NCTHW"),
    pack,
]
test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 30, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="CenterCrop", crop_size=128),
    dict(type="FormatShape", input_format="NCTHW"),
    pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
