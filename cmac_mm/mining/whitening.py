"""PCA-whitening of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SMALLEST = 1e-9  # variance of a direction, of that of the first one, below which it is rounding


@dataclass(frozen=True)
class Whitening:
    """Projection on principal components, scaled to variance 1, then to length 1.

    Args:
        mean (np.ndarray): `(D,)`, float64.
        matrix (np.ndarray): `(D, d)`, float64.
    """

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Whiten features `(n, D)` to `(n, d)`, float32."""
        # Double precision: what the size of a block changes is lost in rounding to float32.
        whitened = (features - self.mean) @ self.matrix
        length = np.sqrt(np.einsum("nd,nd->n", whitened, whitened))
        whitened /= np.where(length > 0, length, 1)[:, None]
        return whitened.astype(np.float32)


def fit_whitening(features: np.ndarray, dim: int) -> Whitening:
    """Fit PCA-whitening, as DeepCluster (Caron et al. 2018) does before k-means.

    Directions in which the features do not differ, those of dead channels, become zeros.

    Args:
        features (np.ndarray): `(n, D)`.
        dim (int): Number of principal components d.

    Returns:
        Whitening: What to apply to features.

    Raises:
        ValueError: If there are not as many components, which are at most the smaller of n and D.
    """
    if not 1 <= dim <= min(features.shape):
        raise ValueError(
            f"pca_dim must be from 1 to {min(features.shape)} with {features.shape[0]} rows of "
            f"{features.shape[1]} channels, got {dim}"
        )
    from sklearn.decomposition import PCA

    pca = PCA(dim, svd_solver="covariance_eigh").fit(features.astype(np.float64))
    variance = pca.explained_variance_
    kept = variance > _SMALLEST * variance[0]
    scale = np.where(kept, 1 / np.sqrt(np.where(kept, variance, 1)), 0)
    return Whitening(pca.mean_, pca.components_.T * scale)
