"""Split of a batch over ranks."""


def split_sizes(total: int, parts: int) -> list[int]:
    """Compute the most equal split of samples over ranks, larger shares first.

    Args:
        total (int): Samples of a global batch.
        parts (int): Number of ranks.

    Returns:
        list[int]: ``parts`` sizes that differ by 1 at most.
    """
    share, rest = divmod(total, parts)
    return [share + (rank < rest) for rank in range(parts)]
