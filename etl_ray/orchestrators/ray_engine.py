"""The Ray engine: bundles of work as rows of a Ray Dataset, mapped over the cluster. Market data never crosses Ray."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

from etl_ray.config import failpoint
from etl_ray.errors import ConfigError, EtlRayError
from etl_ray.orchestrators.failures_as_data import describe_error, restore_error
from etl_ray.orchestrators.work import Stage, work
from etl_ray.storage import failpoints

MAX_BUNDLE_BYTES = 1_000_000_000
"""Stored bytes per task: about ten seconds of work."""
BUNDLES_PER_CPU = 4


class RayEngine:
    """Works on the Ray cluster at `address`, or on one started for this run if it is None.

    A task asks for `cpus_per_task` and `memory_mb_per_task`; at most `max_tasks` run at once.
    """

    def __init__(
        self, *, address: str | None, cpus_per_task: float, memory_mb_per_task: int, max_tasks: int | None
    ) -> None:
        self._cpus_per_task = cpus_per_task
        self._memory_bytes = memory_mb_per_task * 1_000_000
        self._max_tasks = max_tasks
        with ExitStack() as undone_on_close:
            for target, level in _talkers():
                undone_on_close.enter_context(_no_louder(target, level))
            if not ray.is_initialized():
                _connect(address or "local")
                undone_on_close.callback(ray.shutdown)
            self._undone_on_close = undone_on_close.pop_all()
        self._context = DataContext.get_current().copy()
        self._context.enable_progress_bars = False
        self._context.print_on_execution_start = False
        self._context.execution_options.preserve_order = False

    def run(self, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]) -> Iterator[tuple[int, bytes]]:
        """Yield the results with the indices of their items, in the order in which they are finished."""
        if not items:
            return
        bundles = bundle(items, slots=self._slots())
        with DataContext.current(self._context):
            rows = [{"index": index, "items": found} for index, found in bundles]
            dataset = ray.data.from_items(rows, override_num_blocks=len(bundles))
            results = self._mapped(dataset, stage, options)
        for batch in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            done = pa.table(batch)
            columns = (done[name].to_pylist() for name in ("index", "result", "error"))
            for index, result, error in zip(*columns, strict=True):
                if error is not None:
                    raise restore_error(error)
                yield index, result

    def _mapped(self, dataset: ray.data.Dataset, stage: Stage, options: bytes) -> ray.data.Dataset:
        """Return the results of bundles: of tasks, or of actors that keep the books of the shard before."""
        if stage != "replay":
            return dataset.map_batches(
                do_bundle,  # type: ignore[arg-type]  # Ray's annotation knows no keyword arguments
                fn_kwargs={"stage": stage, "options": options},
                batch_size=1,
                batch_format="pyarrow",
                num_cpus=self._cpus_per_task,
                memory=self._memory_bytes,
                compute=TaskPoolStrategy(size=self._max_tasks) if self._max_tasks else None,
            )
        return dataset.map_batches(
            BookActor,  # type: ignore[arg-type]  # as above
            fn_kwargs={"options": options},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=self._cpus_per_task,
            memory=self._memory_bytes,
            # One actor is enough to go on with: a pool that insists on more hangs where a node was lost.
            compute=ActorPoolStrategy(min_size=1, max_size=self._slots()),
        )

    def close(self) -> None:
        """Stop the cluster if this engine has started it, or leave it; let Ray talk as before."""
        self._undone_on_close.close()

    def _slots(self) -> int:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cpus = resources.get("CPU", 1.0)
        slots = max(1, int(cpus / self._cpus_per_task))
        return min(slots, self._max_tasks) if self._max_tasks else slots


def _connect(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except ConnectionError as error:
        raise ConfigError(
            f"cannot connect to Ray at {address}: {error}; expected a running cluster of Ray {ray.__version__}. "
            "If it asks for a token, set RAY_AUTH_MODE=token"
        ) from None


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


def bundle(items: Sequence[tuple[bytes, int]], *, slots: int) -> list[tuple[int, list[bytes]]]:
    """Put consecutive items into bundles of about equal weight: few enough to be worth a task, enough for all slots.

    Return with each the index of its first item.
    """
    total = sum(weight for _, weight in items)
    target = max(1, min(MAX_BUNDLE_BYTES, total // (slots * BUNDLES_PER_CPU)))
    bundles: list[tuple[int, list[bytes]]] = []
    filled = target
    for index, (item, weight) in enumerate(items):
        if filled >= target:
            bundles.append((index, []))
            filled = 0
        bundles[-1][1].append(item)
        filled += weight
    return bundles


class BookActor:
    """Replays bundles of shards of books; the books behind the last shard are only a cache (see `WarmBooks`)."""

    def __call__(self, batch: pa.Table, *, options: bytes) -> Iterator[pa.Table]:
        """Do the shards of a bundle."""
        yield from do_bundle(batch, stage="replay", options=options)


def do_bundle(batch: pa.Table, *, stage: Stage, options: bytes) -> Iterator[pa.Table]:
    """Do the items of a bundle, one after the other; what fails for a known reason comes back as data."""
    if setting := failpoint():
        failpoints.arm(setting)
    for first, items in zip(batch["index"].to_pylist(), batch["items"].to_pylist(), strict=True):
        for index, item in enumerate(items, first):
            result, error = None, None
            try:
                result = work(stage, options, item)
            except EtlRayError as failure:
                error = describe_error(failure)
            yield pa.table(
                {
                    "index": pa.array([index], pa.int64()),
                    "result": pa.array([result], pa.binary()),
                    "error": pa.array([error], pa.list_(pa.string())),
                }
            )
