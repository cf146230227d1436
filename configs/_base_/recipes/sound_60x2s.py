# The same with 60 clips of 2 s a recording, and a list to train and one to test instead of folds.
_base_ = ["sound_10x2s.py"]

batch_size = 4  # recordings a GPU

pipeline = [
    _base_.pipeline[0],
    dict(type="SampleClips", duration=2.0, num_clips=60, mode="uniform"),
    *_base_.pipeline[2:],
]
test_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=pipeline))
evaluation = dict(test_folds=[1])  # the first list is tested, never trained on
