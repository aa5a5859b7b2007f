"""The Ray engine: bundles of work as rows of a Ray Dataset, mapped over the cluster. Market data never crosses Ray."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

from etl_ray.config import failpoint
from etl_ray.errors import EtlRayError
from etl_ray.orchestrators.bundles import bundled
from etl_ray.orchestrators.compiled_files import install, packed
from etl_ray.orchestrators.failures_as_data import describe_error, restore_error
from etl_ray.orchestrators.finished import Finished
from etl_ray.orchestrators.ray_connection import connected
from etl_ray.orchestrators.ray_metrics import RayMetrics
from etl_ray.orchestrators.ray_placement import Ask, await_place, slots, watch
from etl_ray.orchestrators.threads import use_cpus_of_task
from etl_ray.orchestrators.work import Stage, work
from etl_ray.storage import failpoints


@dataclass(frozen=True)
class Span:
    """When a worker was at an item of a stage, in seconds of its machine's clock."""

    stage: Stage
    worker: str
    began_s: float
    ended_s: float


class RayEngine:
    """Works on the Ray cluster at `address`, or on one started for this run if it is None.

    A task asks for `cpus_per_task` and `memory_mb_per_task`; at most `max_tasks` run at once. `note` is told of waiting
    for a node that has so much, which ends after `placement_timeout_s` with a ClusterError. `observe`, if given, is
    told of each item when and where it was worked on.
    """

    def __init__(
        self,
        *,
        address: str | None,
        cpus_per_task: float,
        memory_mb_per_task: int,
        max_tasks: int | None,
        placement_timeout_s: float,
        note: Callable[[str], None],
        observe: Callable[[Span], None] | None = None,
    ) -> None:
        self._ask = Ask(cpus_per_task, memory_mb_per_task * 1_000_000, placement_timeout_s)
        self._max_tasks = max_tasks
        self._note = note
        self._observe = observe
        with ExitStack() as undone_on_close:
            for target, level in _talkers():
                undone_on_close.enter_context(_no_louder(target, level))
            self._is_own = address in (None, "local") and not ray.is_initialized()
            if not ray.is_initialized():
                undone_on_close.enter_context(connected(address))
            self._undone_on_close = undone_on_close.pop_all()
        self._metrics = None if self._is_own else RayMetrics()
        self._context = DataContext.get_current().copy()
        self._context.enable_progress_bars = False
        self._context.print_on_execution_start = False
        self._context.execution_options.preserve_order = False
        self._context.custom_execution_callback_classes = [watch(self._ask)]

    def run(self, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, bytes]]:
        """Yield the results with the indices of their items, in the order in which they are finished."""
        if not items:
            return
        await_place(self._ask, self._note, is_own=self._is_own)
        bundles = bundled(stage, items, slots=self._slots())
        with DataContext.current(self._context):
            rows = [{"index": bundle.first, "items": list(bundle.items)} for bundle in bundles]
            dataset = ray.data.from_items(rows, override_num_blocks=len(bundles))
            results = self._mapped(dataset, stage, options, len(bundles))
        batches = iter(results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        try:
            for batch in batches:
                for row in pa.table(batch).to_pylist():
                    if row["error"] is not None:
                        raise restore_error(row["error"])
                    if self._observe is not None:
                        self._observe(Span(stage, row["worker"], row["began_s"], row["ended_s"]))
                    yield row["index"], row["result"]
        finally:
            # Else Ray would go on with the rest until all of it is garbage.
            if isinstance(batches, Generator):
                batches.close()

    def _mapped(self, dataset: ray.data.Dataset, stage: Stage, options: bytes, n_bundles: int) -> ray.data.Dataset:
        """Return the results of bundles: of tasks, or of actors that keep the books of the shard before."""
        if stage != "replay":
            return dataset.map_batches(
                do_bundle,  # type: ignore[arg-type]  # Ray's annotation knows no keyword arguments
                fn_kwargs={"stage": stage, "options": options, "compiled": self._compiled, "cpus": self._ask.cpus},
                batch_size=1,
                batch_format="pyarrow",
                num_cpus=self._ask.cpus,
                memory=self._ask.memory_bytes,
                compute=TaskPoolStrategy(size=self._max_tasks) if self._max_tasks else None,
            )
        return dataset.map_batches(
            BookActor,  # type: ignore[arg-type]  # as above
            fn_kwargs={"options": options, "compiled": self._compiled, "cpus": self._ask.cpus},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=self._ask.cpus,
            memory=self._ask.memory_bytes,
            # One actor is enough to go on with: a pool that insists on more hangs where a node was lost. Ray adds
            # actors while the cluster has room for them, so that nodes that join get some.
            compute=ActorPoolStrategy(min_size=1, max_size=max(1, min(self._max_tasks or n_bundles, n_bundles))),
        )

    def count(self, stage: str, item: Finished) -> None:
        """Count an item in the metrics of a cluster that lasts longer than the run."""
        if self._metrics is not None:
            self._metrics.count(stage, item)

    def close(self) -> None:
        """Stop the cluster if this engine has started it, or leave it; let Ray talk as before."""
        self._undone_on_close.close()

    @cached_property
    def _compiled(self) -> bytes:
        """What this process has compiled, for nodes that have not; nothing where workers use the same files."""
        return b"" if self._is_own else packed()

    def _slots(self) -> int:
        found = slots(self._ask)
        return min(found, self._max_tasks) if self._max_tasks else found


def _talkers() -> Iterator[tuple[logging.Logger | logging.Handler, int]]:
    """Yield what would write to standard error, and what it still may: failures are raised, not logged."""
    yield logging.getLogger("ray"), logging.ERROR
    for handler in logging.getLogger("ray.data").handlers:  # one of them writes Ray's own log files
        if isinstance(handler, logging.StreamHandler):
            yield handler, logging.CRITICAL


@contextmanager
def _no_louder(target: logging.Logger | logging.Handler, level: int) -> Iterator[None]:
    before = target.level
    target.setLevel(max(before, level))
    try:
        yield
    finally:
        target.setLevel(before)


_RESULTS = pa.schema(
    {
        "index": pa.int64(),
        "result": pa.binary(),
        "error": pa.list_(pa.string()),
        "worker": pa.string(),
        "began_s": pa.float64(),
        "ended_s": pa.float64(),
    }
)


class BookActor:
    """Replays bundles of shards of books; the books behind the last shard are only a cache (see `WarmBooks`)."""

    def __call__(
        self, batch: pa.Table, *, options: bytes, compiled: bytes = b"", cpus: float | None = None
    ) -> Iterator[pa.Table]:
        """Do the shards of a bundle."""
        yield from do_bundle(batch, stage="replay", options=options, compiled=compiled, cpus=cpus)


def do_bundle(
    batch: pa.Table, *, stage: Stage, options: bytes, compiled: bytes = b"", cpus: float | None = None
) -> Iterator[pa.Table]:
    """Do the items of a bundle, one after the other; what fails for a known reason comes back as data.

    `compiled` is what the driver has compiled, if anything; `cpus` is what the task has, where this process is its own.
    """
    if cpus is not None:
        use_cpus_of_task(cpus)
    if compiled:
        install(compiled)
    if setting := failpoint():
        failpoints.arm(setting)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    for first, items in zip(batch["index"].to_pylist(), batch["items"].to_pylist(), strict=True):
        for index, item in enumerate(items, first):
            result, error = None, None
            began_s = time.time()
            try:
                result = work(stage, options, item)
            except EtlRayError as failure:
                error = describe_error(failure)
            row = {
                "index": index,
                "result": result,
                "error": error,
                "worker": worker,
                "began_s": began_s,
                "ended_s": time.time(),
            }
            yield pa.Table.from_pylist([row], _RESULTS)
