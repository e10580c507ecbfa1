"""Training loss: beta-NLL, squared errors, router losses and a penalty on Moran's I."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from ..network.config import NodePredictions


def beta_nll(
    mean: Tensor, log_variance: Tensor, target: Tensor, beta: float, noise: Tensor | None = None
) -> Tensor:
    """Return the beta-NLL of each row: Gaussian NLL times stop_gradient(variance)**beta.

    Seitzer et al. (2022), eq. 4: beta 0 is the likelihood; with beta 1 the mean has the gradient of
    squared error. With known variances of measurement errors, the likelihood is that of the sum of
    both variances. The factor remains that of the predicted variance, so that it cancels the
    effect of the predicted variance on the mean and not that of the known one: with beta 1 the
    squared error of a row is weighted by ``variance / (variance + noise)``.
    """
    squared = (target - mean).square()
    if noise is None:
        nll = 0.5 * (log_variance + squared * (-log_variance).exp())
    else:
        total = log_variance.exp() + noise
        nll = 0.5 * (total.log() + squared / total)
    return nll * (beta * log_variance.detach()).exp()


def nearest_in_batch(positions: Tensor, n_neighbors: int) -> Tensor:
    """Return the nearest other rows of the batch (M, B, K) by positions (M, B, d)."""
    if positions.device.type == "cpu":
        # A tree takes a twentieth of the time of all distances between a thousand rows.
        n_neighbors = min(n_neighbors, positions.shape[1] - 1)
        return torch.from_numpy(
            np.stack([_nearest_others(part, n_neighbors) for part in positions.numpy()])
        )
    distances = torch.cdist(positions, positions)
    distances.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    return distances.topk(min(n_neighbors, positions.shape[1] - 1), largest=False).indices


def _nearest_others(points: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the nearest other points (n, K), which include coincident points."""
    nearest = cKDTree(points).query(points, k=n_neighbors + 1)[1]
    is_self = nearest == np.arange(len(points))[:, None]
    is_self[~is_self.any(axis=1), -1] = True  # more coincident points than neighbors
    return nearest[~is_self].reshape(len(points), n_neighbors)


def batch_morans_i(values: Tensor, neighbors: Tensor) -> Tensor:
    """Return Moran's I (M,) of values (M, B) with row-standardized weights of neighbors (M, B, K).

    I = sum_i z_i mean_j(z_j) / sum_i z_i**2 (Moran 1950), as in `metrics.morans_i`.
    """
    z = values - values.mean(1, keepdim=True)
    lag = z.gather(1, neighbors.flatten(1)).view(neighbors.shape).mean(-1)
    return (z * lag).sum(1) / z.square().sum(1).clamp(min=1e-12)


class SpTGNNLoss(nn.Module):
    """Sum of the independent losses of the ensemble members.

    Parameters
    ----------
    beta : float
        Exponent of the beta-NLL.
    moran_weight : float
        Weight of (I(residual) - E[I])**2, with spatial neighbors within the batch.
    balance_weight, z_weight : float
        Weights of the router's losses.
    n_neighbors : int
        Number of neighbors in Moran's I.
    """

    def __init__(
        self,
        beta: float = 0.5,
        moran_weight: float = 0.0,
        balance_weight: float = 1e-2,
        z_weight: float = 1e-3,
        n_neighbors: int = 8,
    ):
        super().__init__()
        self.beta, self.moran_weight = beta, moran_weight
        self.balance_weight, self.z_weight = balance_weight, z_weight
        self.n_neighbors = n_neighbors

    def forward(self, output: NodePredictions, row_data: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        output : NodePredictions
        row_data : dict
            ``target`` and ``weight`` of shape (M, B), ``position`` of shape (M, B, d), and
            ``noise`` of shape (M, B) if variances of measurement errors are known.
        """
        target, weight, noise = row_data["target"], row_data["weight"], row_data.get("noise")
        squared = (target - output.mean).square()
        nll = beta_nll(output.mean, output.log_variance, target, self.beta, noise)
        if noise is None:
            rows = nll + 0.5 * squared
            rows = rows + (target - output.baseline).square()
        else:
            variance = output.log_variance.detach().exp()
            errors = 0.5 * squared + (target - output.baseline).square()
            rows = nll + variance / (variance + noise) * errors
        members = (rows * weight).sum(1) / weight.sum(1)
        members = members + self.balance_weight * output.balance + self.z_weight * output.z_loss
        if self.moran_weight and target.shape[1] > 2:
            neighbors = nearest_in_batch(row_data["position"], self.n_neighbors)
            index = batch_morans_i(target - output.mean, neighbors)
            members = members + self.moran_weight * (index + 1 / (target.shape[1] - 1)).square()
        return members.sum()
