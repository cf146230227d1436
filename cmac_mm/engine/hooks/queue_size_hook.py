"""Warning of a queue that is larger than the dataset."""

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .common import bare_model


@HOOKS.register_module()
class QueueSizeHook(Hook):
    """Warn before training when a queue holds as many keys as there are videos.

    Such a queue always holds old keys of the query's own video. They are masked, but then the
    effective queue is the data set itself, and its keys are a whole epoch old.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare the queue with the training set."""
        model = bare_model(runner)
        queue_size = getattr(model, "queue_size", 0)
        num_videos = len(runner.train_dataloader.dataset)
        if queue_size >= num_videos:
            runner.logger.warning(
                f"queue_size={queue_size} is not below the number of training videos, "
                f"{num_videos}: choose a smaller queue, or queue_size=0 with in_batch_negatives."
            )
