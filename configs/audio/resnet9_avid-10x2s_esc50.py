# ESC-50 as in the AVID paper: a linear one-vs-all SVM on the last stage before pooling.
_base_ = ["resnet9_10x2s_esc50.py"]

protocol = "avid-10x2s"

model = dict(pooling="none")
# 63 times as many features as pooled ones: stronger regularisation. At greater values of C the
# solver takes hours, not minutes.
evaluation = dict(svm=dict(C=[1e-8, 1e-7, 1e-6, 1e-5]))
