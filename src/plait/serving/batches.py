"""Work that waits for a model, as batches: requests of tensors, and messages of different sessions."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from plait.prediction.lane import beside
from plait.prediction.together import together
from plait.serving.live import Applied
from plait.serving.tensors import ITEMS, Request
from plait.serving.worker import Job
from plait.tokens.tokens import blank

__all__ = ["merged", "run_waiting"]

LOG = logging.getLogger("plait.serving")


def run_waiting(jobs: list[Job]) -> None:
    """Run jobs. Requests of tensors do not depend on others; all else keeps its order, session by session."""
    asked = [job for job in jobs if isinstance(job.work, Request) and job.work.at is None]
    if len(asked) > 1 and sum(map(_size, asked)) <= ITEMS:
        _requests(asked)
    batch = list[tuple[Job, Applied]]()
    for job in jobs:
        work = job.work
        if isinstance(work, Request) and job.result is not None:
            continue
        # two messages of one session follow each other; anything else may concern any session
        if not isinstance(work, Applied) or any(work.live is other.live for _, other in batch):
            _messages(batch)
            batch = []
        if isinstance(work, Applied):
            batch.append((job, work))
        else:
            job.run()
    _messages(batch)


def _messages(batch: Sequence[tuple[Job, Applied]]) -> None:
    began = time.perf_counter()
    try:
        for (job, _), told in zip(batch, together([work.steps() for _, work in batch])):
            job.result = told
    except Exception as error:  # a session tells of its own failures: this is the server's
        LOG.exception("messages failed")
        for job, _ in batch:
            job.error = error
    for job, _ in batch:
        job.spent = time.perf_counter() - began


def _size(job: Job) -> int:
    return len(job.work) if isinstance(job.work, Request) else 0


def _requests(jobs: list[Job]) -> None:
    """One call for all; if it fails, each is to be run alone, so that one does not spoil the others."""
    requests: list[Request] = [job.work for job in jobs]  # type: ignore[misc]
    began = time.perf_counter()
    try:
        found = merged(requests)()
    except Exception:
        return
    start = 0
    for job, request in zip(jobs, requests):
        job.result = {name: x[start : start + len(request)] for name, x in found.items()}
        job.spent = time.perf_counter() - began
        start += len(request)


def merged(requests: Sequence[Request]) -> Request:
    """All their items as one request, padded to the longest."""
    model = requests[0].model
    tokens = {m: beside([r.tokens.get(m, blank(len(r), 0, model.dims[m])) for r in requests]) for m in model.modalities}
    return Request(model, tokens, None)
