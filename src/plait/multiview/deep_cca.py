"""Deep canonical correlation: networks whose outputs correlate, for two or more views; rows may lack a view."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.multiview.cca import Cca, checked_views

__all__ = ["DeepCca", "correlation_loss"]


def correlation_loss(
    views: Sequence[Float[Tensor, "n dim"]],
    there: Bool[Tensor, "n views"] | None = None,
    *,
    ridge: float = 1e-3,
) -> Float[Tensor, ""]:
    """Minus the total correlation of the views, differentiable.

    Andrew et al. 2013 ("Deep canonical correlation analysis", equation 10): minus the sum of the canonical correlations
    of a batch. More views as Benton et al. 2019 ("Deep generalized CCA"): with the eigenvalues of the whitened blocks
    (see `plait.multiview.cca.Cca`) the loss is ``-sum over the dim largest of (value - 1) / (M - 1)``, which for two
    views is Andrew's. A row that lacks views has a weight of one over the number of views that it has (van de Velden
    and Bijmolt 2006: this keeps the eigenvalues between 0 and M); rows with a single view do not count. Departures:
    whitening by Cholesky instead of the inverse square root (the same value); ``ridge`` is a share of the view's mean
    variance, so that scale does not matter.

    Args:
        views: M views, [n, dim] each, row by row the same items; n well above dim.
        there: which rows a view has; by default all. Values where it is False have no effect.
        ridge: keeps the whitening stable.

    Returns:
        From ``-dim`` (the views agree) to 0.

    >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    >>> round(float(correlation_loss([x, 2 * x + 1], ridge=0.0)), 4)
    -3.0
    """
    seen = torch.ones(len(views[0]), len(views), dtype=torch.bool) if there is None else there
    seen = seen & (seen.sum(1, keepdim=True) > 1)
    centred = [_centred(x, seen[:, i]) for i, x in enumerate(views)]
    share = seen.sum(1).clamp(min=1).to(views[0].dtype)[:, None]
    white = [_white(x, ridge) for x in centred]
    size, dim = len(views), views[0].shape[1]
    blocks = torch.cat(white, 1)
    gram = size * (blocks / share).T @ blocks
    # The ridge counts as a view's own scatter, so that without missing rows the diagonal blocks are exactly 1.
    own = torch.block_diag(*[w.T @ w for w in white])
    gram = gram - own + torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    loss: Tensor = -(torch.linalg.eigvalsh(gram)[-dim:] - 1).sum() / (size - 1)
    return loss


def _centred(x: Tensor, seen: Tensor) -> Tensor:
    x = torch.where(seen[:, None], x, 0.0)
    mean = x.sum(0) / seen.sum().clamp(min=1)
    return torch.where(seen[:, None], x - mean, 0.0)


def _white(x: Tensor, ridge: float) -> Tensor:
    scatter = x.T @ x
    # tiny: a view that does not vary has no mean variance to take a share of, and Cholesky would fail.
    level = ridge * scatter.diagonal().mean() + torch.finfo(x.dtype).tiny
    root = torch.linalg.cholesky(scatter + level * torch.eye(len(scatter), dtype=x.dtype, device=x.device))
    white: Tensor = torch.linalg.solve_triangular(root, x.T, upper=False).T
    return white


class DeepCca:
    """A small network per view, trained with `correlation_loss`, and a linear `Cca` of their outputs.

    Batches are large: Wang et al. 2015 ("On deep multi-view representation learning", section 4) found that this is
    enough. For streams of any length use the loss itself on an encoder's tokens: ``task: {name: pretrain, contrast:
    cca}``.

    Args:
        components: width of the joint space.
        hidden: widths of the hidden layers, each with batch norm and GELU.
        ridge: of the loss and of the `Cca` on top.
        dropout: share of the inputs and hidden units that are set to 0 in training.
        epochs, batch, lr, weight_decay: of AdamW with a one-cycle learning rate.
        seed: of weights, order and dropout.

    Attributes:
        networks_: a module per view, in evaluation mode; takes float32 standardised columns.
        cca_: the `Cca` of their outputs.

    Raises:
        ConfigError: fewer than one component, epoch or item per batch, or no hidden layer.

    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, 2 * np.pi, 300)
    >>> views = [np.stack([np.cos(angle), np.sin(angle)], 1), np.cos(2 * angle)[:, None]]
    >>> DeepCca(1, hidden=(16,), batch=100, epochs=50, dropout=0.0).fit(views).score(views) > 0.9
    True
    """

    networks_: nn.ModuleList
    cca_: Cca

    def __init__(
        self,
        components: int = 10,
        *,
        hidden: Sequence[int] = (256, 256),
        ridge: float = 1e-3,
        dropout: float = 0.2,
        epochs: int = 100,
        batch: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-3,
        seed: int = 0,
    ) -> None:
        if min([components, epochs, batch, *hidden]) < 1 or not hidden:
            raise ConfigError(
                f"deep_cca: components {components}, hidden {list(hidden)}, epochs {epochs}, batch {batch}; "
                "expected each above 0, and one hidden layer or more."
            )
        self.components, self.hidden, self.ridge, self.dropout = components, tuple(hidden), ridge, dropout
        self.epochs, self.batch, self.lr, self.weight_decay, self.seed = epochs, batch, lr, weight_decay, seed

    def fit(self, views: Sequence[ArrayLike]) -> DeepCca:
        """Train on views [n, d_i]; rows all NaN are missing. Errors as `Cca.fit`."""
        arrays, there = checked_views(views)
        self._scale = [_scale(x[seen]) for x, seen in zip(arrays, there.T)]
        # The caller's random numbers are as if nothing had been drawn.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.networks_ = nn.ModuleList(self._network(x.shape[1]) for x in arrays)
            self._train([self._tensor(x, i) for i, x in enumerate(arrays)], torch.from_numpy(there))
        self.cca_ = Cca(self.components, ridge=self.ridge).fit([x for x in self._outputs(arrays) if x is not None])
        return self

    def _network(self, dim: int) -> nn.Module:
        widths = [dim, *self.hidden]
        layers: list[nn.Module] = [nn.Dropout(self.dropout)]
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], self.components))

    def _train(self, tensors: list[Tensor], there: Tensor) -> None:
        # Chunks of about one size: with a short last batch the covariances would be singular.
        number = max(1, round(len(there) / self.batch))
        optimizer = torch.optim.AdamW(self.networks_.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.epochs * number + 1)
        complete = bool(there.all())
        for _ in range(self.epochs):
            for rows in torch.randperm(len(there)).chunk(number):
                out = [net(x[rows]) for net, x in zip(self.networks_, tensors)]
                loss = correlation_loss(out, None if complete else there[rows], ridge=self.ridge)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.networks_.eval()

    def _tensor(self, x: np.ndarray, view: int) -> Tensor:
        mean, spread = self._scale[view]
        return torch.from_numpy(np.nan_to_num((x - mean) / spread).astype(np.float32))

    def _outputs(self, views: Sequence[ArrayLike | None]) -> list[ArrayLike | None]:
        """The networks' outputs, [n, components] each; NaN where a row is missing."""
        found: list[ArrayLike | None] = []
        for i, (view, net) in enumerate(zip(views, self.networks_)):
            x = None if view is None else np.asarray(view, np.float64)
            if x is None:
                found.append(None)
                continue
            with torch.inference_mode():
                out = net(self._tensor(x, i)).double().numpy()
            found.append(np.where(np.isnan(x).all(1, keepdims=True), np.nan, out))
        return found

    def transform(self, views: Sequence[ArrayLike | None]) -> list[Float[np.ndarray, "n components"]]:
        """Each view's variates. See `Cca.transform`."""
        return self.cca_.transform(self._outputs(views))

    def fit_transform(self, views: Sequence[ArrayLike]) -> list[Float[np.ndarray, "n components"]]:
        """`fit`, then `transform` of the same views."""
        return self.fit(views).transform(views)

    def common(self, views: Sequence[ArrayLike | None]) -> Float[np.ndarray, "n components"]:
        """One point in the joint space per item. See `Cca.common`."""
        return self.cca_.common(self._outputs(views))

    def correlations(self, views: Sequence[ArrayLike | None]) -> Float[np.ndarray, " components"]:
        """Mean correlation over all pairs of views, per component. See `Cca.correlations`."""
        return self.cca_.correlations(self._outputs(views))

    def score(self, views: Sequence[ArrayLike | None]) -> float:
        """Mean of `correlations` over the components."""
        return float(self.correlations(views).mean())


def _scale(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = x.std(0)
    return x.mean(0), np.where(spread > 0, spread, 1.0)
