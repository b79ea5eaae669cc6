"""Weights that come from outside: used and never changed, not saved with a run, and known by their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from plait.core.errors import DataError

__all__ = ["Outside", "OutsideChanged", "digest_of", "expect"]

ADAPTED = ".base_layer"
"""What peft puts into the names of layers that have adapters."""


class OutsideChanged(DataError):
    """Weights that a saved model was trained on are not there, or are not the same any more."""


class Outside(nn.Module):
    """A module of which the state holds only the weights that are trained.

    All other parameters and buffers were loaded from elsewhere, and are loaded from there again. A checkpoint holds
    none of them, and loading one leaves them as they are.

    >>> class Half(Outside):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.kept, self.trained = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1)
    >>> list(Half().state_dict())
    ['trained.weight', 'trained.bias']
    """

    def held(self) -> dict[str, Tensor]:
        """The parameters and buffers that are not trained, by name."""
        trained = self.trainable()
        return {name: value for name, value in super().state_dict().items() if name not in trained}

    def trainable(self) -> set[str]:
        """Names of the parameters that are saved; by default those that get a gradient."""
        return {name for name, weight in self.named_parameters() if weight.requires_grad}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        found: dict[str, Any] = super().state_dict(*args, **kwargs)
        prefix = str(kwargs.get("prefix", ""))
        for name in self.held():
            found.pop(prefix + name, None)
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, value in self.held().items():
            state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *args)


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes of weights; the layers that adapters wrap keep their own names.

    >>> one = {"a.weight": torch.zeros(2)}
    >>> digest_of(one) == digest_of({"a.base_layer.weight": torch.zeros(2)}), digest_of(one) == digest_of({})
    (True, False)
    """
    found = hashlib.sha256()
    for name, value in sorted((name.replace(ADAPTED, ""), value) for name, value in weights.items()):
        plain = value.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        found.update(plain.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def expect(digest: str, wanted: str, where: str) -> None:
    """Refuse weights that are not those of a saved run.

    Raises:
        OutsideChanged: the SHA-256 is another one.
    """
    if digest != wanted:
        raise OutsideChanged(
            f"{where}: its weights are not those that this run was trained on (SHA-256 {digest[:16]}..., expected "
            f"{wanted[:16]}...). Put the same files back, or fit again."
        )
