"""Hooks of the training loop."""

from .acceleration_hook import AccelerationHook
from .attention_sheet_hook import AttentionSheetHook
from .bad_sample_hook import BadSampleHook
from .clustering_hook import ClusteringHook
from .cross_modal_agreement_hook import CrossModalAgreementHook
from .deferred_log_hook import DeferredLogHook
from .freeze_backbone_hook import FreezeBackboneHook
from .label_check_hook import LabelCheckHook
from .memory_bank_hook import MemoryBankHook
from .non_finite_loss_hook import NonFiniteLossHook
from .prediction_picture_hook import PredictionPictureHook
from .preemption_hook import EXIT_CODE, PreemptionHook
from .queue_size_hook import QueueSizeHook
from .result_hook import ResultHook
from .retrieval_monitor_hook import RetrievalMonitorHook
from .safe_checkpoint_hook import SafeCheckpointHook

__all__ = [
    "EXIT_CODE",
    "AccelerationHook",
    "AttentionSheetHook",
    "BadSampleHook",
    "ClusteringHook",
    "CrossModalAgreementHook",
    "DeferredLogHook",
    "FreezeBackboneHook",
    "LabelCheckHook",
    "MemoryBankHook",
    "NonFiniteLossHook",
    "PredictionPictureHook",
    "PreemptionHook",
    "QueueSizeHook",
    "ResultHook",
    "RetrievalMonitorHook",
    "SafeCheckpointHook",
]
