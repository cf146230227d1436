# The same with AVID's networks: class activation, 224x224, the 2 s of sound in the middle.
_base_ = ["localisation_cmac-32x128.py"]

# Of the data that AVID was trained on; tools/data/spectrogram_statistics.py makes it.
statistics = "data/kinetics400/annotations/avid_spectrogram.json"

clip = dict(type="SampleClips", duration=8 / 16, audio_duration=2.0, mode="uniform")
resize = dict(type="Resize", scale=(224, 224), keep_ratio=False)
spectrogram = dict(type="AVIDSpectrogram", statistics=statistics)
still_pipeline = [
    dict(type="LoadAudio"),
    clip,
    dict(type="CropAudio"),
    dict(type="StillClip", clip_len=8),
    resize,
    spectrogram,
    dict(type="PackAudioVisual"),
]
video_pipeline = [
    dict(type="OpenAudioVisual"),
    clip,
    dict(type="DecodeAudioVisual", fps=16, clip_len=8),
    resize,
    spectrogram,
    dict(type="PackAudioVisual"),
]
