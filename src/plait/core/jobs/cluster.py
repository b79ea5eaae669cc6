"""A team on a Ray cluster (extra `scale`): the same jobs, the same bytes, on machines that share a disk."""

from __future__ import annotations

import logging
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plait.core.errors import ConfigError, DataError, need
from plait.core.jobs.outcomes import Died, Failed, Job, Outcomes, Result, Team, outcome_of
from plait.core.jobs.threads import environment, one_thread
from plait.core.version import __version__

__all__ = ["Cluster", "connected"]

KNOCK_S = 5.0
"""Seconds that a machine may take to answer at all."""

LOCAL_STORE = 1 << 27
"""Bytes of Ray's object store on a cluster of this machine alone: it holds only jobs and their problems."""


class Cluster:
    """Machines that Ray knows of."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    @property
    def width(self) -> int:
        """How many jobs are in flight at a time: more than there are processors, so that no processor waits."""
        return 2 * int(self._ray.cluster_resources().get("CPU", 1)) + 1

    def team(self, work: Callable[[Job], Result], shared: Sequence[str | Path] = ()) -> Team[Job, Result]:
        """Its processors; ``shared`` are files and folders that all machines must see."""
        return lambda todo, width: self._work(todo, width, work, [str(path) for path in shared])

    def _work(
        self, todo: Sequence[Job], width: int, work: Callable[[Job], Result], shared: Sequence[str]
    ) -> Outcomes[Job, Result]:
        # Lost jobs are repeated by the runner, alone; retries by Ray would run beside the others.
        remote = self._ray.remote(num_cpus=1, max_retries=0)(_task)
        waiting, flying = deque(todo), dict[object, Job]()
        try:
            while waiting or flying:
                while waiting and len(flying) < width:
                    job = waiting.popleft()
                    flying[remote.remote(job, work, shared, __version__, sys.path)] = job
                (done, *_), _ = self._ray.wait(list(flying))
                yield flying.pop(done), self._outcome(done)
        finally:
            for one in flying:
                self._ray.cancel(one)

    def _outcome(self, done: object) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(done)
        except errors.RayTaskError as error:  # a task keeps its own errors: this is from before it began
            return Failed(ConfigError, (f"the cluster cannot run plait: {error.cause}. Install it on each machine.",))
        except errors.RayError as error:
            return Died(f"was lost ({type(error).__name__})")


@contextmanager
def connected(address: str, cpus: int = 1) -> Iterator[Cluster]:
    """The cluster at an address, for the length of a block; one that is connected already is used and left alone.

    Args:
        address: ``local`` (this machine alone, started here and ended with the block), ``auto`` (the cluster that
            this machine belongs to), or Ray's address of another (``host:6379``, ``ray://host:10001``).
        cpus: processors of a local cluster; 1 means all of this machine.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: there is no cluster at the address.
    """
    ray = need("ray", "scale", "preparing on a cluster")
    if ray.is_initialized():
        yield Cluster(ray)
        return
    options: dict[str, object] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": cpus if cpus > 1 else None, "object_store_memory": LOCAL_STORE}
        options["include_dashboard"] = False
    try:
        _knock(address)
        with environment({"RAY_USAGE_STATS_ENABLED": "0"}):
            ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"cluster {address!r}: cannot be reached ({error}). Give local, auto, or the address of a running "
            "cluster, such as ray://host:10001."
        ) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Check that something listens at host:port: Ray itself would keep trying for minutes.

    Raises:
        OSError, ValueError: nobody does; it is no address.
    """
    if address not in ("local", "auto"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), KNOCK_S).close()


def _task(
    job: Job, work: Callable[[Job], Result], shared: Sequence[str], version: str, path: Sequence[str]
) -> Result | Failed:
    """One job, on whichever machine this is."""
    host = socket.gethostname()
    if version != __version__:
        here = f"plait {__version__}, and {version} asks it to work"
        return Failed(ConfigError, (f"machine {host} of the cluster has {here}. Install one version on all.",))
    for needed in shared:
        if not Path(needed).exists():
            problem = f"{needed}: machine {host} of the cluster does not see it. Put it on a disk that all share."
            return Failed(DataError, (problem,))
    sys.path += [folder for folder in path if folder not in sys.path]  # where the user's own parts are found
    with one_thread():
        return outcome_of(work, job)
