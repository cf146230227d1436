"""Check of the list of training videos that a checkpoint belongs to."""

from __future__ import annotations

_ENCODERS_ALONE = (
    "start from the encoders alone (init_cfg=dict(type='PretrainedEncoder', ...) of the backbones)"
)


def refuse_other_list(
    what: str, stored: tuple[int, bytes], own: tuple[int, bytes], advice: str = _ENCODERS_ALONE
) -> None:
    """Raise an error for buffers of another list, or of a list in another order.

    Args:
        what (str): What belongs to the list, in the plural, such as 'memory banks'.
        stored (tuple[int, bytes]): Number of videos and digest in the checkpoint.
        own (tuple[int, bytes]): The same of this run. A number of 0, or a digest of zeros, is not
            known and fits any.
        advice (str): How to train on another list. Defaults to starting from the encoders alone.

    Raises:
        RuntimeError: If the lists differ.
    """
    differs = any(stored[1]) and any(own[1]) and stored[1] != own[1]
    if differs or (own[0] and own[0] != stored[0]):
        raise RuntimeError(
            f"the checkpoint's {what} belong to another list of training videos ({stored[0]} "
            f"videos, this list has {own[0]}): each is of one row of the list. Videos must not be "
            "added, removed or moved within the list between runs; to train on another list, "
            f"{advice}"
        )
