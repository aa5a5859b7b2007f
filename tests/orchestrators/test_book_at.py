"""Books at any instant, held to a plain replay of all rows and to the rows of `book`."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from etl_ray import BookAt, book_at
from etl_ray.config import format_time, time_ns
from etl_ray.errors import ConfigError, StorageError
from etl_ray.sample import SampleOptions, write_sample
from etl_ray.sample.options import FAULT_KINDS
from tests.coverage.job import JobTables
from tests.coverage.notation import read
from tests.orchestrators.jobs import SMALL, run
from tests.orchestrators.plain_books import PlainBooks, times_around

RECORDINGS = Path(__file__).parents[1] / "coverage" / "recordings"
BY_HAND = (
    "crossed",
    "empty_snapshot",
    "empty_update",
    "late_messages",
    "lost_then_snapshot",
    "midnight_step_back",
    "no_snapshot",
    "product_in_the_middle",
    "product_on_two_connections",
    "reconnect",
    "reconnect_overlap",
    "silence",
    "two_connections",
    "two_midnights",
)
SMALL_FILES = {"rows_per_file": 600, "rows_per_group": 50}
"""Shards and row groups so small that a checkpoint is in several groups."""


def tables_of(source: Path, output: Path, **overrides: object) -> JobTables:
    return JobTables(run(source, output, **overrides), output)


def level2(**options: object) -> dict[str, object]:
    return {"level2": {"processor_options": options}}


@pytest.mark.parametrize("name", BY_HAND)
def test_every_instant_of_recordings_by_hand(name: str, input_dir: Path, output_dir: Path) -> None:
    written = read(RECORDINGS / f"{name}.txt")
    written.save(input_dir)
    tables = tables_of(input_dir, output_dir, channels=level2(trust_beat=written.trust_beat))
    products = {row["product_id"] for row in tables.coverage if row["channel"] == "level2"}
    for product in products:
        books = PlainBooks.of(tables, str(product))
        for ts in times_around(books):
            books.check(book_at(str(output_dir), str(product), ts))


STEP_BACK = """# A snapshot heals a book, and the message behind it was sent before it

recording:
a0 1 snap BTC b98x1 a103x1
a1 2 up BTC
a3 5 up BTC b97x1
a4 6 snap BTC
a5 5.5 up BTC b96x2
a6 7 up BTC b95x2
"""


def test_a_message_sent_before_the_one_in_front_of_it(tmp_path: Path, input_dir: Path, output_dir: Path) -> None:
    (tmp_path / "recording.txt").write_text(STEP_BACK)
    read(tmp_path / "recording.txt").save(input_dir)
    books = PlainBooks.of(tables_of(input_dir, output_dir), "BTC-USD")
    for ts in times_around(books):
        books.check(book_at(str(output_dir), "BTC-USD", ts))
    found = book_at(str(output_dir), "BTC-USD", "2025-11-26T14:00:05.7Z")
    assert (found.book_state, found.line, [int(level.price) for level in found.bids]) == ("verified", 5, [100, 96])


@pytest.fixture(scope="module")
def faulty_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording over midnight that has suffered all that recordings suffer."""
    directory = tmp_path_factory.mktemp("faulty")
    options = SampleOptions(
        minutes=1.0,
        products=("BTC-USD", "ETH-USD"),
        rate=6,
        levels=30,
        segment_mb=0.3,
        start="2025-11-26T23:59:30Z",
        faults=FAULT_KINDS,
    )
    write_sample(str(directory), options)
    return directory


@pytest.fixture(scope="module")
def plain_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of one connection over midnight, without faults."""
    directory = tmp_path_factory.mktemp("plain")
    write_sample(str(directory), replace(SMALL, connections=1, segment_mb=1.0))
    return directory


@pytest.fixture(scope="module")
def plain_output(plain_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("tables") / "output"
    run(plain_dir, directory)
    return str(directory)


@pytest.fixture(scope="module")
def silent_output(tmp_path_factory: pytest.TempPathFactory) -> JobTables:
    directory = tmp_path_factory.mktemp("silence")
    read(RECORDINGS / "silence.txt").save(directory)
    return tables_of(directory, tmp_path_factory.mktemp("tables") / "output")


@pytest.fixture(scope="module")
def overlapping_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of interleaved connections over midnight."""
    directory = tmp_path_factory.mktemp("overlapping")
    write_sample(str(directory), replace(SMALL, overlap=True, minutes=0.3))
    return directory


def assert_books(tables: JobTables, product: str, count: int, **plain: int) -> list[BookAt]:
    """Hold books at random instants and at all edges of `coverage` to a plain replay."""
    books = PlainBooks.of(tables, product, **plain)
    draw = random.Random(3)
    edges = [ts for tile in books.tiles for ts in (tile["ts_start"], tile["ts_end"] - 1)]
    first, last = edges[0] - 10**9, edges[-1] + 10**9
    times = [*edges, *(draw.randrange(first, last) for _ in range(count))]
    found = [book_at(str(tables.output_dir), product, ts) for ts in times]
    for item in found:
        books.check(item)
    return found


@pytest.mark.parametrize(
    ("numbers", "staging", "cols"),
    [
        ("float64", {}, ["product_id", "date"]),
        ("decimal", SMALL_FILES, ["product_id", "date"]),
        ("float64", SMALL_FILES, ["date"]),
        ("float64", SMALL_FILES, []),
    ],
)
def test_faulty_recording(
    numbers: str, staging: dict[str, int], cols: list[str], faulty_dir: Path, output_dir: Path
) -> None:
    channels = {"level2": {"partition_cols": cols}}
    tables = tables_of(faulty_dir, output_dir, numbers=numbers, staging=staging, channels=channels)
    states = set()
    for product in ("BTC-USD", "ETH-USD"):
        found = assert_books(tables, product, 25)
        states |= {item.book_state for item in found}
        assert sum(len(item.bids) > 8 for item in found) > 15
    assert states >= {"verified", "suspect", "no_data"}


def test_interleaved_connections(overlapping_dir: Path, output_dir: Path) -> None:
    tables = tables_of(overlapping_dir, output_dir, staging=SMALL_FILES)
    connections = set()
    for product in ("BTC-USD", "ETH-USD"):
        connections |= {item.connection_id for item in assert_books(tables, product, 25)}
    assert len(connections - {None}) > 1


def test_intervals_change_nothing(overlapping_dir: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "messages", tmp_path / "intervals"]
    tables_of(overlapping_dir, outputs[0])
    tables_of(overlapping_dir, outputs[1], channels=level2(emit="1s", compute_features=False, depth=1))
    start = SMALL.start_ns
    for ts in range(start, start + 18 * 10**9, 10**9):
        first, second = (book_at(str(output), "ETH-USD", ts) for output in outputs)
        assert first == second


def assert_top_levels(tables: JobTables, product: str, count: int) -> int:
    """Hold best levels to the rows of `book`; return how many were on the published connection."""
    rows = pl.concat(
        pl.read_parquet(file, hive_partitioning=False)
        for file in sorted((tables.output_dir / "book" / f"product_id={product}").rglob("*.parquet"))
    )
    rows = rows.with_columns(pl.col("segment", "connection_id").cast(pl.String), pl.col("ts_server").cast(pl.Int64))
    rows = rows.sort("segment", "line")
    draw = random.Random(11)
    same = 0
    for ts in (draw.choice(rows["ts_server"]) + draw.randrange(10**8) for _ in range(count)):
        found = book_at(str(tables.output_dir), product, ts, depth=10)
        row = rows.filter(pl.col("ts_server") <= ts).row(-1, named=True)
        if found.connection_id != row["connection_id"]:
            continue
        same += 1
        assert (found.segment, found.line, found.sequence_num) == (row["segment"], row["line"], row["sequence_num"])
        for side, levels in (("bid", found.bids), ("ask", found.asks)):
            told = [(row[f"{side}_price_{k}"], row[f"{side}_size_{k}"]) for k in range(10)]
            assert [(float(price), float(size)) for price, size in levels] == [item for item in told if item[0]]
    return same


def test_best_levels_are_those_of_book(faulty_dir: Path, output_dir: Path) -> None:
    tables = tables_of(faulty_dir, output_dir, staging=SMALL_FILES)
    assert [assert_top_levels(tables, product, 40) > 30 for product in ("BTC-USD", "ETH-USD")] == [True, True]


def test_real_flow(real_flow: Path, output_dir: Path) -> None:
    tables = tables_of(real_flow, output_dir)
    assert assert_top_levels(tables, "BTC-USDT", 60) == 60
    assert assert_top_levels(tables, "ETH-USDT", 60) == 60
    before_midnight = book_at(str(output_dir), "BTC-USDT", "2024-08-08T23:59:59.999999999Z")
    at_midnight = book_at(str(output_dir), "BTC-USDT", "2024-08-09")
    assert before_midnight.bids == at_midnight.bids
    assert at_midnight.ts - before_midnight.ts == 1
    assert (at_midnight.book_state, at_midnight.cause) == ("verified", None)


def test_before_and_behind_the_recording(silent_output: JobTables) -> None:
    (tile, *_), last = (row for row in silent_output.coverage if row["channel"] == "level2"), silent_output.coverage[-1]
    before = book_at(str(silent_output.output_dir), "BTC-USD", "2025-11-25")
    behind = book_at(str(silent_output.output_dir), "BTC-USD", "2025-11-27")
    assert (before.book_state, before.cause, before.since, before.bids) == ("no_data", "start", None, ())
    assert before.until == tile["ts_start"]
    assert (behind.book_state, behind.cause, behind.since, behind.until) == ("no_data", "end", last["ts_end"], None)


def test_silence_from_when_to_when(silent_output: JobTables) -> None:
    (silence,) = (row for row in silent_output.coverage if row["channel"] == "level2" and row["cause"] == "silence")
    found = book_at(str(silent_output.output_dir), "BTC-USD", (silence["ts_start"] + silence["ts_end"]) // 2)
    assert (found.book_state, found.cause) == ("no_data", "silence")
    assert (found.since, found.until) == (silence["ts_start"], silence["ts_end"])
    assert (found.segment, found.line, found.bids, found.asks) == (None, None, (), ())


def test_forms_of_time(plain_output: str) -> None:
    ts = time_ns("2025-11-26T23:59:59.123456789Z")
    assert ts is not None
    forms = ("2025-11-26T23:59:59.123456789Z", "2025-11-27T00:59:59.123456789+01:00", str(ts), ts)
    found = {book_at(plain_output, "BTC-USD", form) for form in forms}
    assert [item.ts for item in found] == [ts]
    assert len(next(iter(found)).bids) > 30


@pytest.mark.parametrize("time", ["yesterday", "2025-11-26T23:59:59", "-1", "1e9", "9223372036854775808"])
def test_no_time(time: str, plain_output: str) -> None:
    with pytest.raises(ConfigError, match=r"time is '.*'; expected a date \(2025-11-26\), a time with its zone"):
        book_at(plain_output, "BTC-USD", time)


def test_depth(plain_output: str) -> None:
    full = book_at(plain_output, "BTC-USD", "2025-11-27")
    two = book_at(plain_output, "BTC-USD", "2025-11-27", depth=2)
    assert (two.bids, two.asks) == (full.bids[:2], full.asks[:2])
    assert full.bids[0].price < full.asks[0].price
    with pytest.raises(ConfigError, match="depth is 0; expected at least 1"):
        book_at(plain_output, "BTC-USD", "2025-11-27", depth=0)


def test_unknown_product(plain_output: str) -> None:
    with pytest.raises(ConfigError, match=r"no book of BTC-USDT .*; did you mean 'BTC-USD'. known: BTC-USD, ETH-USD"):
        book_at(plain_output, "BTC-USDT", "2025-11-27")


def test_json(plain_output: str) -> None:
    found = book_at(plain_output, "BTC-USD", "2025-11-27T00:00:00.000000001Z", depth=1)
    told = found.as_dict()
    (bid,) = found.bids
    assert told["bids"] == [[float(bid.price), float(bid.size)]]
    assert told["ts"] == "2025-11-27T00:00:00.000000001Z"
    assert told["ts_server"] == format_time(found.ts_server or 0)
    exact = replace(found, numbers="decimal", bids=(bid._replace(size=Decimal("1E-18")),)).as_dict()
    assert exact["bids"] == [[str(bid.price), "0.000000000000000001"]]


def test_outputs_without_books(plain_dir: Path, tmp_path: Path) -> None:
    def refuse(expected: str, name: str, **overrides: object) -> None:
        if overrides:
            run(plain_dir, tmp_path / name, **overrides)
        with pytest.raises(ConfigError, match=expected):
            book_at(str(tmp_path / name), "BTC-USD", "2025-11-27")

    refuse("nothing holds no committed run; expected the OUTPUT of etl-ray run", "nothing")
    refuse("made without the channel level2", "other", channels={"level2": {"enabled": False}})
    refuse("made with reconstruct_lob: false", "bookless", channels=level2(reconstruct_lob=False))
    processors = ["etl_ray.processors:Level2Processor"]
    refuse(r"went through processors \(etl_ray.proc", "changed", channels={"level2": {"processors": processors}})


def test_range_of_a_run(plain_dir: Path, output_dir: Path, tmp_path: Path) -> None:
    run(plain_dir, tmp_path / "whole")
    tables_of(plain_dir, output_dir, start="2025-11-26T23:59:58Z", end="2025-11-27T00:00:01Z")
    for time in ("2025-11-26T23:59:57.9Z", "2025-11-27T00:00:01Z"):
        with pytest.raises(ConfigError, match="made with --start 2025-11-26T23:59:58Z --end 2025-11-27T00:00:01Z, so"):
            book_at(str(output_dir), "BTC-USD", time)
    with pytest.raises(ConfigError, match="comes from messages before that, and there is no checkpoint yet"):
        book_at(str(output_dir), "BTC-USD", "2025-11-26T23:59:58.04Z")
    for time in ("2025-11-26T23:59:58.1Z", "2025-11-27T00:00:00.9Z"):
        assert book_at(str(output_dir), "BTC-USD", time) == book_at(str(tmp_path / "whole"), "BTC-USD", time)


@pytest.mark.parametrize("table", ["level2", "book_checkpoints", "coverage"])
def test_missing_and_damaged_files(table: str, plain_dir: Path, output_dir: Path) -> None:
    run(plain_dir, output_dir)
    for path in (output_dir / table).rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=rf"{table}/.*parquet: cannot be read as Parquet: "):
        book_at(str(output_dir), "BTC-USD", "2025-11-27T00:00:00.9Z")
    for path in (output_dir / table).rglob("*.parquet"):
        path.unlink()
    with pytest.raises(StorageError, match=rf"{table}/.*parquet is missing, though a run has committed it; run again"):
        book_at(str(output_dir), "BTC-USD", "2025-11-27T00:00:00.9Z")
