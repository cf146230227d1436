# Retrieval as SeLaVi runs it: 112x112, last stage max-pooled by 2 and flattened, each
# clip scaled to unit length, averaged over 10 clips, Euclidean distance; random clips and crops for
# the gallery (here the same at every run), uniform clips and centre crops for the queries.
_base_ = ["retrieval_cmac-32x128.py"]

model = dict(pooling="max2", normalize_clips=True)
opening = dict(type="OpenAudioVisual", need_audio=False)
decoding = dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=128)
gallery_pipeline = [
    opening,
    dict(type="SampleClips", duration=32 / 30, num_clips=10, mode="random"),
    decoding,
    dict(type="PerClip", transforms=[dict(type="RandomCrop", size=112)]),
    dict(type="PackAudioVisual"),
]
query_pipeline = [
    opening,
    dict(type="SampleClips", duration=32 / 30, num_clips=10, mode="uniform"),
    decoding,
    dict(type="CenterCrop", crop_size=112),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(
    dataset=dict(
        gallery=dict(pipeline=gallery_pipeline),
        query=dict(pipeline=query_pipeline),
    ),
)
test_evaluator = dict(distance="euclidean")
evaluation = dict(protocol="selavi")
