"""Random clusters for models that learn from them."""

import numpy as np

K, N = 5, 12  # clusters and videos


def start(model, number=0, seed=7, num_videos=N):
    """Bind a list and begin a round with random clusters; the last video has none."""
    rng = np.random.default_rng(number)
    if model.num_videos != num_videos:
        model.bind_list(num_videos, bytes(range(32)), seed=0)
    labels = {s: rng.integers(K, size=num_videos, dtype=np.int32) for s in model.sources}
    for part in labels.values():
        part[-1] = -1
    centroids = {s: rng.normal(size=(K, 3 + i)) for i, s in enumerate(model.sources)}
    reset = model.begin_round(number, labels, centroids, seed)
    return labels, reset
