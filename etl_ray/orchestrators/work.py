"""The unit of work, the same in-process and on Ray: options and one item in, one result out, all as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

from etl_ray import storage
from etl_ray.errors import EtlRayError
from etl_ray.orchestrators.book_build import BookBuildOptions, WarmBooks, build_book
from etl_ray.orchestrators.book_plans import BookPlan, BookShard
from etl_ray.orchestrators.build import BuildOptions, build
from etl_ray.orchestrators.candle_build import CandleBuildOptions, CandleShard, build_candles
from etl_ray.orchestrators.candle_witness import CandleTask, candle_witness
from etl_ray.orchestrators.compact_merge import MergeOptions, merge
from etl_ray.orchestrators.compact_plan import Merge
from etl_ray.orchestrators.compose import ComposeOptions, compose
from etl_ray.orchestrators.derive_plan import DeriveOptions, DeriveTask
from etl_ray.orchestrators.isolation import normalized
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.normalize import NormalizeOptions, Normalizer
from etl_ray.orchestrators.rebook import RebookOptions, rebook
from etl_ray.orchestrators.rebook_cut import CutOptions, cut_book
from etl_ray.orchestrators.rebook_plans import RebookPlan, RebookShard
from etl_ray.orchestrators.receipts import Built, Receipt
from etl_ray.orchestrators.shards import Shard
from etl_ray.orchestrators.trade_build import TradeBuildOptions, build_trades
from etl_ray.orchestrators.trade_shards import TradeShard
from etl_ray.orchestrators.witness import WitnessOptions, WitnessTask, witness
from etl_ray.readers.segments import Unit

Stage = Literal[
    "normalize",
    "compose",
    "build",
    "trades",
    "candles",
    "replay",
    "witness",
    "candle_witness",
    "derive",
    "recut",
    "rebook",
    "compact",
]


def work(stage: Stage, options: bytes, item: bytes) -> bytes:
    """Do one item of a stage: what is raised by a defect says of which one.

    normalize: Unit to Receipt; compose: BookPlan to ComposedBook; build: Shard to Built; replay: BookShard to
    BuiltBook; trades: TradeShard to BuiltTrades; candles: CandleShard to Built; witness: WitnessTask to
    Witnessed; candle_witness: CandleTask to Witnessed; derive: DeriveTask to Built; recut: RebookPlan to CutBook;
    rebook: RebookShard to RebuiltBook; compact: Merge to Built.
    """
    if stage == "normalize":
        unit = from_json(Unit, item)
        with _named(_place(unit)):
            normalizer = _normalizer(options)
            return to_json(normalized(unit, normalizer.options, normalizer))
    if stage == "compose":
        plan = from_json(BookPlan, item)
        with _named(f"the book of {plan.product}"):
            return to_json(compose(plan, _compose_options(options)))
    if stage == "replay":
        book = from_json(BookShard, item)
        with _named(f"the book of {book.product}, shard {book.number}"):
            return to_json(build_book(book, _book_options(options), _WARM))
    if stage == "trades":
        trades = from_json(TradeShard, item)
        with _named(f"the trades of {trades.product}, shard {trades.number}"):
            return to_json(build_trades(trades, _trade_options(options)))
    if stage == "candles":
        candles = from_json(CandleShard, item)
        with _named(candles.staged.directory):
            return to_json(build_candles(candles, from_json(CandleBuildOptions, options)))
    if stage == "build":
        shard = from_json(Shard, item)
        with _named(f"{shard.directory}, file {shard.number}"):
            return to_json(build(shard, _build_options(options)))
    return _work_on_files(stage, options, item)


def _work_on_files(stage: Stage, options: bytes, item: bytes) -> bytes:
    """Do one item of a stage that reads what others have built."""
    if stage == "candle_witness":
        held = from_json(CandleTask, item)
        with _named(f"the candles of {held.trades.product}, {held.trades.dates[0]}"):
            return to_json(candle_witness(held, _derive_options(options)))
    if stage == "witness":
        task = from_json(WitnessTask, item)
        with _named(f"the witness of {task.product}"):
            return to_json(witness(task, from_json(WitnessOptions, options)))
    if stage == "recut":
        stored = from_json(RebookPlan, item)
        with _named(f"the stored book of {stored.product}"):
            return to_json(cut_book(stored, from_json(CutOptions, options)))
    if stage == "rebook":
        again = from_json(RebookShard, item)
        with _named(f"the stored book of {again.product}, shard {again.number}"):
            return to_json(rebook(again, from_json(RebookOptions, options)))
    if stage == "compact":
        files = from_json(Merge, item)
        with _named(f"{files.directory}, file {files.number}"):
            return to_json(merge(files, from_json(MergeOptions, options)))
    from etl_ray.orchestrators.derive import derive  # brings Polars along, which takes time

    derived = from_json(DeriveTask, item)
    with _named(f"{derived.product}, {derived.dates[0]}"):
        return to_json(Built(derive(derived, _derive_options(options))))


@contextmanager
def _named(place: str) -> Iterator[None]:
    try:
        yield
    except EtlRayError:  # says so itself
        raise
    except Exception as error:
        error.add_note(f"while working on {place}")
        raise


def _place(unit: Unit) -> str:
    url = storage.redact(unit.segment.url)
    return url if unit.end is None else f"{url}, bytes {unit.start:,} to {unit.end:,}"


def read_receipt(data: bytes, place: str = "a receipt") -> Receipt:
    """Read the result of the stage `normalize`."""
    return from_json(Receipt, data, place)


_WARM = WarmBooks()


@lru_cache(maxsize=1)
def _compose_options(options: bytes) -> ComposeOptions:
    return from_json(ComposeOptions, options)


@lru_cache(maxsize=1)
def _book_options(options: bytes) -> BookBuildOptions:
    return from_json(BookBuildOptions, options)


@lru_cache(maxsize=1)  # a worker serves one run; its buffers are allocated once
def _normalizer(options: bytes) -> Normalizer:
    return Normalizer(from_json(NormalizeOptions, options))


@lru_cache(maxsize=1)
def _trade_options(options: bytes) -> TradeBuildOptions:
    return from_json(TradeBuildOptions, options)


@lru_cache(maxsize=1)
def _derive_options(options: bytes) -> DeriveOptions:
    return from_json(DeriveOptions, options)


@lru_cache(maxsize=1)
def _build_options(options: bytes) -> BuildOptions:
    return from_json(BuildOptions, options)
