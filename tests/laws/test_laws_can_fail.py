"""A law that nothing can break says nothing: for every law a class that breaks it, and it alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from plait.encoders.linear import Linear
from plait.encoders.recurrent import Gru
from plait.fusion.late import Late
from plait.fusion.shared import Shared
from plait.tasks.classify import Classify
from plait.tasks.heads import PooledLinear
from plait.tasks.regress import Regress
from plait.testing import LawBroken, check_encoder, check_fusion, check_task


class Narrow(Linear):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values[..., 1:])


class Leaky(Linear):
    def forward(self, tokens):
        return tokens.with_values(self.linear(tokens.values + tokens.values.mean(1, keepdim=True)))


class LeakyInGradient(Linear):
    def forward(self, tokens):  # right going forward; backward, the weight gets 0 * nan
        return tokens.with_values(torch.where(tokens.mask[..., None], self.linear(tokens.values), 0.0)).clean()


class SeesTheBatch(Linear):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values - out.values.sum((0, 1))).clean()


class CountsPadding(Linear):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values / out.mask.shape[1]).clean()


class NeedsTime(Linear):
    def forward(self, tokens):
        return super().forward(tokens) if tokens.mask.shape[1] else tokens  # the width is forgotten


class ReadsTheClock(Linear):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values + 0.01 * out.times[..., None]).clean()


class FalselyCausal(Gru):
    def __init__(self, dim_in, dim):
        super().__init__(dim_in, dim)
        self.causal = True


class Forgetful(Linear):
    def __init__(self, dim_in, dim):
        super().__init__(dim_in, dim)
        self.gain = torch.rand(())  # neither parameter nor buffer

    def forward(self, tokens):
        return super().forward(tokens.with_values(tokens.values * self.gain))


class Branching(Linear):
    def forward(self, tokens):
        return super().forward(tokens if tokens.values.sum() > 0 else tokens.with_values(tokens.values * 1.0))


class Deaf(Linear):
    def forward(self, tokens):
        return super().forward(tokens.with_values(tokens.values.detach()))


class Idle(Linear):
    def __init__(self, dim_in, dim):
        super().__init__(dim_in, dim)
        self.spare = nn.Parameter(torch.zeros(3))


ENCODERS = [
    (Narrow, "shape"),
    (Leaky, "masks"),
    (LeakyInGradient, "gradient"),
    (SeesTheBatch, "rows"),
    (CountsPadding, "padding"),
    (NeedsTime, "emptiness"),
    (ReadsTheClock, "times"),
    (FalselyCausal, "causality"),
    (Forgetful, "saving"),
    (Branching, "export"),
    (Deaf, "gradient"),
    (Idle, "gradient"),
]


@pytest.mark.parametrize(("cls", "law"), ENCODERS)
def test_a_broken_encoder_is_found(cls, law):
    with pytest.raises(LawBroken, match=cls.__name__) as broken:
        check_encoder(cls)
    assert broken.value.law == law


class ManyTokens(Shared):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out._replace(mask=~out.mask)


class SharedLeak(Shared):
    def complete(self, tokens):
        return {m: tokens.get(m, t) for m, t in super().complete(tokens).items()}


class SharedBatch(Shared):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values - out.values.sum(0)).clean()


class SharedCount(Shared):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values / sum(t.mask.shape[1] for t in self.complete(tokens).values())).clean()


class LateUnmasked(Late):
    def weights(self, tokens):
        share = self.trust.softmax(0)
        return {m: share[i].expand(len(tokens[m].mask)) for i, m in enumerate(self.modalities) if m in tokens}


class LateByCount(Late):
    def weights(self, tokens):
        return {m: t.present / float(len(tokens)) for m, t in tokens.items()}


class LateByPlace(Late):
    def weights(self, tokens):
        last = len(tokens) == len(self.modalities) and list(tokens)[-1]
        return {m: t.present * (2.0 if m == last == self.modalities[0] else 1.0) for m, t in tokens.items()}


class SharedClock(Shared):
    def forward(self, tokens):
        out = super().forward(tokens)
        return out.with_values(out.values + 0.01 * out.times[..., None]).clean()


class SharedDeaf(Shared):
    def forward(self, tokens):
        last = self.modalities[-1]
        return super().forward({m: t.with_values(t.values.detach()) if m == last else t for m, t in tokens.items()})

    def weights(self, tokens):
        return {m: torch.zeros(len(t.mask)) for m, t in tokens.items()}


class LateBlind(Late):
    def aggregate(self, outputs, weights):
        return outputs.mean(0)


class SharedForgets(Shared):
    def __init__(self, modalities, dim):
        super().__init__(modalities, dim)
        self.gain = torch.rand(())

    def weights(self, tokens):
        return {m: t.present * self.gain for m, t in tokens.items()}


class SharedBranches(Shared):
    def forward(self, tokens):
        return super().forward(tokens if all(bool(t.mask.any()) for t in tokens.values()) else dict(tokens))


FUSIONS = [
    (ManyTokens, "shape"),
    (SharedLeak, "masks"),
    (SharedBatch, "rows"),
    (SharedCount, "padding"),
    (LateUnmasked, "subsets"),
    (LateByCount, "subsets"),
    (LateByPlace, "order"),
    (SharedClock, "times"),
    (SharedDeaf, "gradient"),
    (LateBlind, "mixing"),
    (SharedForgets, "saving"),
    (SharedBranches, "export"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "law"), FUSIONS)
def test_a_broken_fusion_is_found(cls, law):
    with pytest.raises(LawBroken, match=cls.__name__) as broken:
        check_fusion(cls)
    assert broken.value.law == law


class OneLoss(Classify):
    def loss(self, output, target):
        return super().loss(output, target).mean()


class Shares(Classify):
    def loss(self, output, target):
        return super().loss(output - output.mean(0), target)


class Uphill(Classify):
    def loss(self, output, target):
        return -super().loss(output, target)


class NarrowHead(Classify):
    def head(self, dim):
        return PooledLinear(dim, self.n_outputs - 1)


class _Everything(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, tokens):
        return self.inner(tokens._replace(mask=torch.ones_like(tokens.mask)))


class SeesPadding(Classify):
    def head(self, dim):
        return _Everything(super().head(dim))


class SaysTheOther(Classify):
    def decode(self, output, at=None):
        return super().decode(-output)


class ForgetsClasses(Classify):
    @classmethod
    def restore(cls, state, **options):
        return cls(state["classes"][:2], **options)


class TakesAll(Regress):
    def encode(self, targets):
        good = [t for t in targets if isinstance(t, int | float) and np.isfinite(t)]
        return super().encode(good) if good else torch.zeros(len(targets))


class Oracle(Classify):
    def baseline(self, train, count):
        return np.eye(self.n_outputs)[train[:count]]


class WeakFit(Classify):
    def baseline(self, train, count):
        return np.full((count, self.n_outputs), 1 / self.n_outputs)

    def metrics(self, scores, target):
        return {**super().metrics(scores, target), "accuracy": 0.5}


class _Fewer(Classify):
    """One output less than there are classes."""

    def __init__(self, targets):
        super().__init__(targets)
        self.n_outputs -= 1

    def class_logits(self, output):
        return F.pad(output, (1, 0))


class SoftmaxLikelihood(_Fewer):
    def nll(self, output, target, doubt=0.0):
        return F.cross_entropy(output, target, label_smoothing=doubt, reduction="none")


class SureLikelihood(Classify):
    def nll(self, output, target, doubt=0.0):
        return super().nll(2 * output, target, doubt)


class FarFromItself(Classify):
    def divergence(self, output, teacher):
        return super().divergence(output, teacher) + 1


TASKS = [
    (SoftmaxLikelihood, "likelihood"),
    (SureLikelihood, "likelihood"),
    (FarFromItself, "likelihood"),
    (OneLoss, "shape"),
    (Shares, "loss"),
    (Uphill, "agreement"),
    (NarrowHead, "heads"),
    (SeesPadding, "heads"),
    (SaysTheOther, "agreement"),
    (ForgetsClasses, "state"),
    (TakesAll, "strangers"),
    (Oracle, "baseline"),
    (WeakFit, "baseline"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "law"), TASKS)
def test_a_broken_task_is_found(cls, law):
    targets = [0.5, 1.5, -2.0] if issubclass(cls, Regress) else ["a", "b", "b", "c"]
    with pytest.raises(LawBroken, match=cls.__name__) as broken:
        check_task(cls, targets)
    assert broken.value.law == law
