# ESC-50 as in the AVID paper: a linear one-vs-all SVM on the last stage before pooling.
_base_ = ["resnet9_10x2s_esc50.py"]

protocol = "avid-10x2s"

model = dict(pooling="none")
