"""A run from INPUT to a committed OUTPUT: plan, normalize, stitch, build, commit."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.orchestrators.book_build import BookBuildOptions, BuiltBook
from etl_ray.orchestrators.book_plans import ComposedBook
from etl_ray.orchestrators.books import BookPlans, plan_books
from etl_ray.orchestrators.build import BuildOptions
from etl_ray.orchestrators.candle_build import BuiltCandles, CandleBuildOptions
from etl_ray.orchestrators.compiled import compile_all
from etl_ray.orchestrators.compose import ComposeOptions
from etl_ray.orchestrators.coverage_rows import Covered, connection_rows, coverage_rows, write_rows
from etl_ray.orchestrators.custom import ProcessorSpec, load_processors
from etl_ray.orchestrators.derive_plan import DeriveOptions
from etl_ray.orchestrators.derive_stage import derive_all
from etl_ray.orchestrators.engines import Engine, choose_engine
from etl_ray.orchestrators.findings import damaged, findings
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest
from etl_ray.orchestrators.messages import pack, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions
from etl_ray.orchestrators.receipt_store import Receipts, ReceiptStore
from etl_ray.orchestrators.receipts import BuiltFile, Counts, Receipt
from etl_ray.orchestrators.refusals import check_output, check_same_run, check_segments
from etl_ray.orchestrators.resume import earlier_receipts
from etl_ray.orchestrators.run_summary import summary_of
from etl_ray.orchestrators.selection import Selection
from etl_ray.orchestrators.shards import PackedShard
from etl_ray.orchestrators.stages import Stages
from etl_ray.orchestrators.stitch import Stitched, stitch
from etl_ray.orchestrators.trade_build import BuiltTrades, TradeBuildOptions, missing_ids
from etl_ray.orchestrators.witness import Witnessed, witness_rows
from etl_ray.orchestrators.witness_stage import hear_witnesses
from etl_ray.orchestrators.work import read_receipt
from etl_ray.orchestrators.wrong_input import InputCheck
from etl_ray.progress import Progress
from etl_ray.readers.segments import Segment, Unit, find_segments, plan_units
from etl_ray.summary import RunSummary
from etl_ray.tables import CANDLES, MARKET_TRADES, TABLES
from etl_ray.tables.book import book_rows_per_group
from etl_ray.venues import VENUES
from etl_ray.version import __version__


@dataclass(frozen=True)
class Outcome:
    """What a run has done: its figures, and manifest `number` of the ledger."""

    summary: RunSummary
    ledger: Ledger
    number: int

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts of the committed units, in arrival order."""
        return self.ledger.receipts(self.number)


def run_job(input_url: str, output_url: str, config: JobConfig, progress: Progress) -> RunSummary:
    """Turn the segments of INPUT into the tables of OUTPUT; return what was done."""
    return run_segments([input_url], output_url, config, progress).summary


def run_segments(input_urls: Sequence[str], output_url: str, config: JobConfig, progress: Progress) -> Outcome:
    """Turn the segments of several inputs, taken together, into the tables of OUTPUT."""
    started_s = time.monotonic()
    segments = find_segments(*input_urls)
    for input_url in input_urls:
        check_output(input_url, output_url)
    ledger = Ledger(storage.canonical(output_url))
    check_segments(segments, ledger.output)
    ledger.check_owner()
    storage.make_root(ledger.own)
    with exclusive(ledger.own):
        storage.delete_temporary(ledger.output)
        latest = ledger.latest()
        if latest is not None:
            ledger.publish(latest, progress.note)
        run = _Run(segments, config, ledger, latest, progress)
        unchanged = False
        if latest is not None and not config.overwrite:
            check_same_run(latest, run.inputs, config, output=storage.redact(output_url))
            unchanged = latest.run_id == run.id and ledger.is_whole(latest)
        manifest = latest if latest is not None and unchanged else run.execute()
        run.clear()
        seconds = time.monotonic() - started_s - run.compiling_s
        summary = summary_of(manifest, output_url, seconds=seconds, unchanged=unchanged)
        return Outcome(summary, ledger, manifest.number)


@dataclass(frozen=True)
class _Normalized:
    units: tuple[Unit, ...]
    store: ReceiptStore
    counts: Counts

    @property
    def receipts(self) -> Receipts:
        """The receipts of the units, in arrival order."""
        return self.store.in_order([unit.name for unit in self.units])


class _Run:
    """One run over `segments`, on top of the state `latest`."""

    def __init__(
        self,
        segments: tuple[Segment, ...],
        config: JobConfig,
        ledger: Ledger,
        latest: Manifest | None,
        progress: Progress,
    ) -> None:
        self.inputs = tuple(
            Input(item.identity, storage.redact(item.url), item.size, item.version) for item in segments
        )
        self.compiling_s = 0.0
        self._segments = segments
        self._config = config
        self._ledger = ledger
        self._latest = latest
        self._progress = progress
        self._venue = VENUES[config.venue]
        self.id = run_id(self.inputs, config)
        self._staging = self._own_staging()
        self._partition_cols = {table: config.partition_cols(table) for table in TABLES}
        self._selection = Selection(self._channels(), config.products, config.start, config.end)

    def _own_staging(self) -> str:
        """Return where pieces of this run go; elsewhere than below OUTPUT runs into other outputs may go as well."""
        if self._config.staging.url is None:
            return storage.join(self._ledger.own, "runs", self.id)
        name = f"{self.id}-{hashlib.sha256(self._ledger.output.encode()).hexdigest()[:8]}"
        return storage.join(storage.canonical(self._config.staging.url), name)

    @property
    def _number(self) -> int:
        return 1 if self._latest is None else self._latest.number + 1

    @property
    def _processors(self) -> dict[str, tuple[ProcessorSpec, ...]]:
        return {
            name: tuple(ProcessorSpec(item.path, item.options) for item in channel.processors)
            for name, channel in self._config.channels.items()
            if channel.processors
        }

    def execute(self) -> Manifest:
        """Do the whole work and commit it."""
        for specs in self._processors.values():
            load_processors(specs)  # so that a wrong path is told before anything is read
        engine = choose_engine(self._config, sum(segment.size for segment in self._segments))
        stages = Stages(engine, self._progress)
        try:
            done = self._normalize(engine)
            stitched = stitch(
                done.units,
                done.receipts,
                staging=self._staging,
                partition_cols=self._partition_cols,
                rows_per_file=self._config.staging.rows_per_file,
            )
            files = self._build(stages, stitched)
            trades = self._trades(stages, stitched)
            files = (*files, *(file for built in trades for file in built.files), *self._candles(stages, stitched))
            plans = plan_books(done.receipts, stitched, self._venue.channels.index("l2_data"))
            books = self._replay(stages, plans)
            witnessed = hear_witnesses(
                (*files, *(file for book in books for file in book.files)),
                {book.product for book in books},
                self._config,
                options=self._derive_options,
                stages=stages,
            )
            files = self._with_metadata(files, stitched, trades, books, witnessed)
            files = (*files, *derive_all(files, self._derive_options, stages))
        finally:
            engine.close()
        manifest = self._manifest(done, stitched, files, plans.refused)
        self._ledger.keep_receipts(manifest.number, done.receipts)
        self._ledger.commit(manifest)
        self._ledger.publish(manifest, self._progress.note)
        return manifest

    def clear(self) -> None:
        """Remove what this run has staged, and what runs have that died."""
        storage.delete_tree(self._staging)
        storage.delete_tree(storage.join(self._ledger.own, "runs"))

    def _channels(self) -> tuple[str, ...]:
        enabled = self._config.enabled_channels()
        return tuple(
            channel
            for shape in self._venue.shapes
            for channel in shape.channels
            if shape.table in enabled and (channel != "ticker_batch" or self._config.include_ticker_batch)
        )

    def _tables(self) -> tuple[str, ...]:
        enabled = self._config.enabled_channels()
        return (*enabled, "rejects", *(("instruments",) if "status" in enabled else ()))

    def _normalize(self, engine: Engine) -> _Normalized:
        staging = self._config.staging
        units = plan_units(self._segments, staging.unit_bytes)
        options = NormalizeOptions(
            venue=self._config.venue,
            tables=self._tables(),
            selection=self._selection,
            numbers=self._config.numbers,
            # Copies of a trade have to meet, and versions of a candle.
            partition_cols=self._partition_cols | dict.fromkeys((MARKET_TRADES.name, CANDLES.name), ("product_id",)),
            block_bytes=staging.block_bytes,
            max_line_bytes=staging.max_line_bytes,
            staging=self._staging,
            books=self._config.has_books,
        )
        receipts = ReceiptStore()
        for earlier in earlier_receipts(units, self._staging, self._progress.note):
            receipts.add(earlier)
        counts = sum((receipt.counts for receipt in receipts.values()), Counts())
        todo = {unit.name: unit for unit in units if unit.name not in receipts}
        self.compiling_s = compile_all(books=self._config.has_books, progress=self._progress)
        self._progress.stage("normalize", sum(unit.stored_bytes for unit in units), len(units))
        self._progress.advance(
            sum(unit.stored_bytes for unit in units if unit.name in receipts), len(units) - len(todo)
        )
        check = InputCheck(units, self._venue.name)
        check.follow(receipts)
        items = [(to_json(unit), unit.stored_bytes) for unit in todo.values()]
        for result in engine.run("normalize", to_json(options), items):
            receipt = read_receipt(result)
            receipts.add(receipt)
            counts += receipt.counts
            check.follow(receipts)
            self._progress.advance(todo[receipt.unit].stored_bytes, 1)
        self._progress.done()
        check.check(receipts, counts)
        counts.check("the run")
        return _Normalized(units, receipts, counts)

    @property
    def _build_options(self) -> BuildOptions:
        return BuildOptions(
            staging=self._staging,
            output=self._target,
            numbers=self._config.numbers,
            rows_per_group=self._config.staging.rows_per_group,
            selection=self._selection,
            processors=self._processors,
        )

    def _trades(self, stages: Stages, stitched: Stitched) -> list[BuiltTrades]:
        """Write each trade once."""
        options = TradeBuildOptions(self._build_options, self._partition_cols[MARKET_TRADES.name])
        return stages.run("trades", options, _weighed(stitched.trades), BuiltTrades)

    def _candles(self, stages: Stages, stitched: Stitched) -> list[BuiltFile]:
        """Write the last version of each candle."""
        options = CandleBuildOptions(self._build_options, self._partition_cols[CANDLES.name])
        built = stages.run("candles", options, _weighed(stitched.candles), BuiltCandles)
        return [file for candles in built for file in candles.files]

    def _build(self, stages: Stages, stitched: Stitched) -> tuple[BuiltFile, ...]:
        files = stages.run("build", self._build_options, _weighed(stitched.shards), BuiltFile)
        return tuple(sorted((file for file in files if file.rows), key=lambda file: file.path))

    @property
    def _derive_options(self) -> DeriveOptions:
        return DeriveOptions(
            input=self._target,
            output=self._target,
            numbers=self._config.numbers,
            rows_per_group=self._config.staging.rows_per_group,
            derived=self._config.derived,
        )

    @cached_property
    def _target(self) -> str:
        """Where final files are built: in place, or in a waiting room if they replace something."""
        # What a run has left that died before its commit is replaced like what is committed.
        in_place = self._latest is None and not self._ledger.table_files()
        return self._ledger.output if in_place else self._ledger.waiting_room(self.id, self._number)

    def _replay(self, stages: Stages, plans: BookPlans) -> tuple[BuiltBook, ...]:
        """Compose the start books of all shards, then replay these."""
        if not plans.plans:
            return ()
        level2, staging = self._config.level2, self._config.staging
        compose_options = ComposeOptions(
            staging=self._staging,
            operations_per_shard=staging.rows_per_file,
            interval_ns=level2.interval_ns,
            trust_beat=level2.trust_beat,
        )
        items = [(pack(plan), len(plan.units) * 100_000) for plan in plans.plans]
        composed = stages.run("compose", compose_options, items, ComposedBook)
        shards = sorted(
            (shard for book in composed for shard in book.shards), key=lambda shard: (shard.product, shard.number)
        )
        options = BookBuildOptions(
            staging=self._staging,
            output=self._target,
            numbers=self._config.numbers,
            rows_per_group=book_rows_per_group(staging.rows_per_group, level2.columns),
            columns=level2.columns,
            interval_ns=level2.interval_ns,
            skip_empty=level2.skip_empty,
            trust_beat=level2.trust_beat,
            start_ns=self._config.start,
            end_ns=self._config.end,
        )
        items = [(pack(item), item.operations * 100) for item in shards]
        return tuple(stages.run("replay", options, items, BuiltBook, shown="books"))

    def _with_metadata(
        self,
        files: tuple[BuiltFile, ...],
        stitched: Stitched,
        trades: list[BuiltTrades],
        books: tuple[BuiltBook, ...],
        witnessed: tuple[Witnessed, ...],
    ) -> tuple[BuiltFile, ...]:
        """Write what the recording holds, and return all files by path."""
        covered = Covered(self._selection.channels, self._config.products, self._config.level2.trust_beat)
        coverage = coverage_rows(stitched, self._venue, covered, books, missing_ids(trades))
        written = [
            *write_rows("coverage", coverage, self._target),
            *write_rows("connections", connection_rows(stitched, self._venue), self._target),
            *write_rows("witness", witness_rows(witnessed), self._target),
        ]
        found = (*files, *(file for book in books for file in book.files), *written)
        return tuple(sorted((file for file in found if file.rows), key=lambda file: file.path))

    def _manifest(
        self, done: _Normalized, stitched: Stitched, files: tuple[BuiltFile, ...], refused: tuple[str, ...]
    ) -> Manifest:
        messages: Counter[str] = Counter()
        for receipt in done.receipts:
            messages.update(receipt.messages)
        return Manifest(
            number=self._number,
            run_id=self.id,
            semantic=json.dumps(self._config.semantic(), sort_keys=True),
            start_ns=self._config.start,
            end_ns=self._config.end,
            inputs=self.inputs,
            files=tuple(sorted(files, key=lambda file: file.path)),
            counts=done.counts,
            messages=dict(sorted(messages.items())),
            damaged=damaged(done.units, done.receipts),
            findings=(
                *findings(done.units, done.store, done.counts, stitched.timeline),
                *refused,
            ),
        )


def _weighed(shards: Iterable[PackedShard]) -> list[tuple[bytes, int]]:
    return [(shard.packed, shard.rows * 100) for shard in shards]


def run_id(inputs: Sequence[Input], config: JobConfig) -> str:
    """Return the id of a run: the same for the same inputs, config, range and program."""
    files = [[item.identity, item.url, item.size, item.version] for item in inputs]
    parts = [__version__, config.semantic_hash(), config.start, config.end, files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
