# The recipe of the paper's tables 1 to 3: 50 epochs, 64 videos a batch (8 GPUs x 8), no jitter.
_base_ = ["../cmac_k400.py"]

batch_size = 8  # a GPU; the learning rate is for 64 in all, see auto_scale_lr

model = dict(data_preprocessor=dict(color_jitter=None))
train_dataloader = dict(batch_size=batch_size)
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=64)
