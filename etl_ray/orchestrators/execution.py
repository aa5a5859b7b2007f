"""The work of a run, stage by stage: from units that are to be read to the manifest of what came of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, StorageError
from etl_ray.orchestrators.book_build import BookBuildOptions, BuiltBook
from etl_ray.orchestrators.book_keys import BookKeys
from etl_ray.orchestrators.book_plans import BookPlan, BookShard, ComposedBook
from etl_ray.orchestrators.books import BookPlans, plan_books
from etl_ray.orchestrators.build import BuildOptions
from etl_ray.orchestrators.bundles import unit_bytes
from etl_ray.orchestrators.candle_build import CandleBuildOptions
from etl_ray.orchestrators.compiled import compile_all
from etl_ray.orchestrators.compose import ComposeOptions
from etl_ray.orchestrators.coverage_rows import Covered, connection_rows, coverage_rows, write_rows
from etl_ray.orchestrators.custom import ProcessorSpec, load_processors
from etl_ray.orchestrators.cuts import Cuts, cuts_of
from etl_ray.orchestrators.derive_plan import DeriveOptions
from etl_ray.orchestrators.derive_stage import derive_all
from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.finished import finished_item, finished_unit
from etl_ray.orchestrators.kept_composition import NOT_KEPT
from etl_ray.orchestrators.messages import from_json, pack, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions
from etl_ray.orchestrators.pruning import is_prunable
from etl_ray.orchestrators.receipt_store import ReceiptStore
from etl_ray.orchestrators.receipts import Built, BuiltFile, Counts, sum_counts
from etl_ray.orchestrators.results import key_of
from etl_ray.orchestrators.resume import finished_units
from etl_ray.orchestrators.run_plan import RunPlan
from etl_ray.orchestrators.shards import PackedShard, Shard, unit_of
from etl_ray.orchestrators.stages import Item, Memory, Stages
from etl_ray.orchestrators.stitch import Stitched, stitch
from etl_ray.orchestrators.trade_build import BuiltTrades, TradeBuildOptions, missing_ids
from etl_ray.orchestrators.unit_options import selection_of, unit_options
from etl_ray.orchestrators.witness import Witnessed, witness_rows
from etl_ray.orchestrators.witness_stage import hear_witnesses
from etl_ray.orchestrators.work import read_receipt
from etl_ray.orchestrators.wrong_input import InputCheck
from etl_ray.progress import Progress
from etl_ray.tables import CANDLES, MARKET_TRADES, TABLES
from etl_ray.tables.book import book_rows_per_group
from etl_ray.venues import VENUES


@dataclass(frozen=True)
class Places:
    """Where a run works: tables are below `output`, new files wait in `waiting`, pieces of units are in `staging`."""

    output: str
    waiting: str
    staging: str


@dataclass(frozen=True)
class Done:
    """What a run has done: its receipts by unit, the figures of all lines, its files, and what it has found."""

    store: ReceiptStore
    counts: Counts
    messages: dict[str, int]
    files: tuple[BuiltFile, ...]
    stitched: Stitched
    refused: tuple[str, ...]


class Execution:
    """Does the work of one run. `memory` holds the results of the run before, and gets those of this one."""

    def __init__(
        self, plan: RunPlan, config: JobConfig, places: Places, *, engine: Engine, memory: Memory, progress: Progress
    ) -> None:
        self.compiling_s = 0.0
        self.composed: frozenset[str] = frozenset()
        self.read: set[str] = set()
        self._plan, self._config, self._places = plan, config, places
        self._engine, self._memory, self._progress = engine, memory, progress
        self._stages = Stages(engine, progress, memory)
        self._pruned = {name for item in plan.inputs if item.is_pruned for name in item.units}
        self._cuts: Cuts = cuts_of(memory.results)
        self._venue = VENUES[config.venue]
        self._partition_cols = {table: config.partition_cols(table) for table in TABLES}
        self._selection = selection_of(config, plan.range_ns)

    def run(self, committed: ReceiptStore) -> Done:
        """Do all stages; `committed` are the receipts of units that need not be read again."""
        for specs in self._processors.values():
            load_processors(specs)  # so that a wrong path is told before anything is read
        store, counts = self._normalize(committed)
        receipts = store.in_order([unit.name for unit in self._plan.units])
        stitched = stitch(
            self._plan.units,
            receipts,
            staging=self._places.staging,
            partition_cols=self._partition_cols,
            rows_per_file=self._config.staging.rows_per_file,
            cuts=self._cuts,
        )
        built = self._build(stitched, store)
        trades = self._trades(stitched)
        candles = self._candles(stitched)
        files = _files(built, trades, candles)
        plans = plan_books(receipts, stitched, self._venue.channels.index("l2_data"), self._cuts)
        books = self._replay(plans, store, stitched)
        witnessed = hear_witnesses(
            (*files, *_files(books)),
            {book.product for book in books},
            self._config,
            options=self._derive_options,
            stages=self._stages,
            where=self._where,
        )
        files = (*files, *_files(books), *self._metadata(stitched, trades, books, witnessed))
        files = (*files, *derive_all(files, self._derive_options, self._stages, self._where))
        messages: Counter[str] = Counter()
        for unit in self._plan.units:
            messages.update(store.facts[unit.name].messages)
        return Done(store, counts, dict(sorted(messages.items())), files, stitched, plans.refused)

    @property
    def _processors(self) -> dict[str, tuple[ProcessorSpec, ...]]:
        return {
            name: tuple(ProcessorSpec(item.path, item.options) for item in channel.processors)
            for name, channel in self._config.channels.items()
            if channel.processors
        }

    def _where(self, path: str) -> str:
        """Return where a file of this run is, below OUTPUT, before it is published."""
        if path in self._memory.there:
            return path
        if path in self._memory.moved:
            return self._memory.moved[path]
        return storage.join(self._places.waiting, path).removeprefix(self._places.output.rstrip("/") + "/")

    def _normalize(self, committed: ReceiptStore) -> tuple[ReceiptStore, Counts]:
        units = self._plan.units
        receipts = finished_units(
            units, self._places.staging, committed, self._pruned, self._plan.reread, self._progress.note
        )
        counts = sum_counts(item.counts for item in receipts.facts.values())
        todo = [unit for unit in units if unit.name not in receipts]
        self.read |= {unit.segment.identity for unit in todo}
        self.compiling_s = compile_all(books=self._config.has_books, progress=self._progress)
        self._progress.stage("normalize", sum(unit.stored_bytes for unit in units), len(units))
        self._progress.skip(sum(unit.stored_bytes for unit in units if unit.name in receipts), len(units) - len(todo))
        check = InputCheck(units, self._venue.name)
        check.follow(receipts.facts)
        items = [(to_json(unit), unit_bytes(unit)) for unit in todo]
        for index, result in self._engine.run("normalize", to_json(self._normalize_options), items):
            receipt = read_receipt(result)
            receipts.add(receipt)
            counts += receipt.counts
            check.follow(receipts.facts)
            self._engine.count("normalize", finished_unit(receipt, todo[index].stored_bytes))
            self._progress.advance(todo[index].stored_bytes, 1)
        self._progress.done()
        check.check(receipts.facts, counts)
        counts.check("the run")
        return receipts, counts

    @cached_property
    def _normalize_options(self) -> NormalizeOptions:
        return unit_options(self._config, self._plan.range_ns, self._places.staging)

    def _bring_back(self, names: Iterable[str], receipts: ReceiptStore) -> None:
        """Make the pieces of pruned units again."""
        wanted = self._pruned.intersection(names)
        units = [unit for unit in self._plan.units if unit.name in wanted]
        self._pruned -= wanted
        present = {item.identity for item in self._plan.inputs if item.is_present}
        gone = sorted({unit.segment.identity for unit in units} - present)
        if gone:
            raise ConfigError(
                f"what is new belongs between rows of {gone[0]}, which INPUT does not have any more, and whose pieces "
                "are not kept (see staging.keep_days): bring it back, or --overwrite to replace OUTPUT without it"
            )
        if not units:
            return
        self.read |= {unit.segment.identity for unit in units}
        self._progress.stage("read again", sum(unit.stored_bytes for unit in units), len(units))
        items = [(to_json(unit), unit_bytes(unit)) for unit in units]
        for index, result in self._engine.run("normalize", to_json(self._normalize_options), items):
            receipt = read_receipt(result)
            if receipt != receipts[units[index].name]:
                raise StorageError(
                    f"{storage.redact(units[index].segment.url)} is not what was read before, though size and version "
                    "are the same: expected the same lines. Start again with --overwrite"
                )
            self._engine.count("read again", finished_unit(receipt, units[index].stored_bytes))
            self._progress.advance(units[index].stored_bytes, 1)
        self._progress.done()

    @property
    def _build_options(self) -> BuildOptions:
        return BuildOptions(
            staging=self._places.staging,
            output=self._places.waiting,
            numbers=self._config.numbers,
            rows_per_group=self._config.staging.rows_per_group,
            selection=self._selection,
            processors=self._processors,
        )

    def _build(self, stitched: Stitched, receipts: ReceiptStore) -> list[Built]:
        items = [self._raw(shard) for shard in stitched.shards]
        if self._pruned:
            todo = (from_json(Shard, items[index].packed) for index in self._stages.missing("build", items, Built))
            paths = (source.path for shard in todo for source in shard.sources)
            self._bring_back((unit_of(path) for path in paths if is_prunable(path)), receipts)
        return self._stages.run("build", self._build_options, items, Built)

    def _raw(self, shard: PackedShard) -> Item:
        # Instruments are limited to the range only when they are built.
        key = key_of(shard.key, json.dumps(self._plan.range_ns)) if shard.is_limited else shard.key
        return Item(shard.packed, shard.rows * 100, key, shard.cut, shard.number)

    def _trades(self, stitched: Stitched) -> list[BuiltTrades]:
        """Write each trade once."""
        options = TradeBuildOptions(self._build_options, self._partition_cols[MARKET_TRADES.name])
        return self._stages.run("trades", options, _items(stitched.trades), BuiltTrades)

    def _candles(self, stitched: Stitched) -> list[Built]:
        """Write the last version of each candle."""
        options = CandleBuildOptions(self._build_options, self._partition_cols[CANDLES.name])
        return self._stages.run("candles", options, _items(stitched.candles), Built)

    @cached_property
    def _derive_options(self) -> DeriveOptions:
        return DeriveOptions(
            input=self._places.output,
            output=self._places.waiting,
            numbers=self._config.numbers,
            rows_per_group=self._config.staging.rows_per_group,
            derived=self._config.derived,
        )

    def _replay(self, plans: BookPlans, receipts: ReceiptStore, stitched: Stitched) -> list[BuiltBook]:
        """Compose the start books of all shards, then replay these."""
        if not plans.plans:
            return []
        level2, staging = self._config.level2, self._config.staging
        times = {unit: (facts.ts_min, facts.ts_max) for unit, facts in receipts.facts.items()}
        keys = BookKeys(stitched.segments, stitched.ids, times, self._plan.range_ns)
        composed = self._compose(plans.plans, receipts)
        items, todo = self._to_replay(composed, keys)
        # Of old shards start books are not kept: where one is to be replayed, all of its product are made again.
        lacking = {shard.product for shard in todo if any(start.batch == NOT_KEPT for start in shard.starts)}
        if lacking:
            again = [replace(plan, is_fresh=True) for plan in plans.plans if plan.product in lacking]
            fresh = {book.product: book for book in self._compose(again, receipts)}
            composed = [fresh.get(book.product, book) for book in composed]
            items, todo = self._to_replay(composed, keys)
        self._bring_back((unit.name for shard in todo for unit in shard.units), receipts)
        start_ns, end_ns = self._plan.range_ns
        options = BookBuildOptions(
            staging=self._places.staging,
            output=self._places.waiting,
            numbers=self._config.numbers,
            rows_per_group=book_rows_per_group(staging.rows_per_group, level2.columns),
            columns=level2.columns,
            interval_ns=level2.interval_ns,
            skip_empty=level2.skip_empty,
            trust_beat=level2.trust_beat,
            start_ns=start_ns,
            end_ns=end_ns,
        )
        built = self._stages.run("replay", options, items, BuiltBook, shown="books")
        numbers = {identity: number for number, identity in enumerate(stitched.segments)}
        self.composed = frozenset(book.path for book in composed)
        return [book.at(numbers) for book in built]

    def _compose(self, plans: Sequence[BookPlan], receipts: ReceiptStore) -> list[ComposedBook]:
        options = ComposeOptions(
            staging=self._places.staging,
            operations_per_shard=self._config.staging.rows_per_file,
            interval_ns=self._config.level2.interval_ns,
            trust_beat=self._config.level2.trust_beat,
            keep_days=self._config.staging.keep_days,
        )
        items = [Item(pack(plan), len(plan.units) * 100_000) for plan in plans]
        composed = self._stages.run("compose", options, items, ComposedBook)
        lacking = [index for index, book in enumerate(composed) if book.lacks]
        if lacking:
            self._bring_back((name for index in lacking for name in composed[index].lacks), receipts)
            again = self._stages.run("compose", options, [items[index] for index in lacking], ComposedBook)
            for index, book in zip(lacking, again, strict=True):
                composed[index] = book
        return composed

    def _to_replay(self, composed: Sequence[ComposedBook], keys: BookKeys) -> tuple[list[Item], list[BookShard]]:
        """Return all shards, and those that are not known from before."""
        shards = [shard for book in composed for shard in book.shards]
        items = [_book(shard, keys) for shard in shards]
        return items, [shards[index] for index in self._stages.missing("replay", items, BuiltBook)]

    def _metadata(
        self,
        stitched: Stitched,
        trades: list[BuiltTrades],
        books: list[BuiltBook],
        witnessed: tuple[Witnessed, ...],
    ) -> tuple[BuiltFile, ...]:
        """Write what the recording holds, and return the files."""
        covered = Covered(self._selection.channels, self._config.products, self._config.level2.trust_beat)
        coverage = coverage_rows(stitched, self._venue, covered, books, missing_ids(trades))
        files = (
            *write_rows("coverage", coverage, self._places.waiting),
            *write_rows("connections", connection_rows(stitched, self._venue), self._places.waiting),
            *write_rows("witness", witness_rows(witnessed), self._places.waiting),
        )
        self._engine.count("coverage", finished_item(Built(files)))
        return files


def _files(*results: Iterable[Built | BuiltTrades | BuiltBook]) -> tuple[BuiltFile, ...]:
    """Return the files of results that have rows, by path, each once: one may hold the rows of several."""
    found = {file.path: file for some in results for result in some for file in result.files if file.rows}
    return tuple(found[path] for path in sorted(found))


def _items(shards: Iterable[PackedShard]) -> list[Item]:
    return [Item(shard.packed, shard.rows * 100, shard.key, shard.cut, shard.number) for shard in shards]


def _book(shard: BookShard, keys: BookKeys) -> Item:
    return Item(pack(shard), shard.operations * 100, keys.key(shard), shard.cut, shard.number)
