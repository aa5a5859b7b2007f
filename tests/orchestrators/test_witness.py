"""Books held to tickers: rows by hand, random rows against the reference, and the job."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_ray.orchestrators.receipts import BuiltFile
from etl_ray.orchestrators.witness import (
    WitnessOptions,
    WitnessSpan,
    WitnessTask,
    plan_witness,
    witness,
    witness_rows,
)
from etl_ray.tables import TIME, WITNESS
from tests.orchestrators.jobs import run
from tests.reference.witness import witness_rows as reference_rows

MIDNIGHT_NS = 1_764_201_600 * 10**9
S = 10**9
Prices = tuple[object, object]
Stated = tuple[int, Prices]


def written(root: Path, path: str, rows: list[Stated], names: tuple[str, str], group: int, kind: pa.DataType) -> str:
    """Write times and prices as a file of `book` or `ticker`."""
    columns = {
        "ts_server": pa.array([ts for ts, _ in rows], TIME),
        **{name: pa.array([prices[k] for _, prices in rows], kind) for k, name in enumerate(names)},
    }
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), root / path, row_group_size=group)
    return path


def held(
    root: Path,
    books: dict[str, list[list[Stated]]],
    tickers: list[list[Stated]],
    *,
    group: int = 100,
    kind: pa.DataType | None = None,
) -> tuple[WitnessSpan, ...]:
    """Return the counts by hour of a product with these files of books, by date, and of tickers."""
    kind, prices = kind or pa.float64(), ("bid_price_0", "ask_price_0")
    task = WitnessTask(
        product="BTC-USD",
        books={
            date: tuple(
                written(root, f"book/{date}/{k}.parquet", rows, prices, group, kind) for k, rows in enumerate(files)
            )
            for date, files in books.items()
        },
        tickers=tuple(
            written(root, f"ticker/{k}.parquet", rows, ("best_bid", "best_ask"), group, kind)
            for k, rows in enumerate(tickers)
        ),
        bytes=1,
    )
    return witness(task, WitnessOptions(str(root))).spans


def test_quiet_equal_and_neither(tmp_path: Path) -> None:
    day = MIDNIGHT_NS
    states = [
        (day + 1 * S, (9.0, 11.0)),
        (day + 2 * S, (10.0, 11.0)),
        (day + 3 * S, (10.0, 11.0)),
        (day + 4 * S, (10.0, 11.0)),
        (day + 5 * S, (None, 11.0)),
        (day + 6 * S, (None, 11.0)),
        (day + 7 * S, (None, 11.0)),
    ]
    tickers = [
        (day, (9.0, 11.0)),  # no state yet
        (day + 1 * S, (9.0, 11.0)),  # it moves
        (day + 2 * S - 1, (9.0, 11.0)),
        (day + 2 * S, (10.0, 11.0)),  # quiet, from the state of its own time on
        (day + 2 * S + 1, (10.0, 11.5)),  # quiet, and the ask is another one
        (day + 2 * S + 2, (9.5, 11.0)),
        (day + 2 * S + 3, (None, 11.0)),  # no ticker to hold it to
        (day + 2 * S + 4, (10.0, None)),
        (day + 3 * S, (10.0, 11.0)),  # the second one behind has no bid
        (day + 5 * S, (10.0, 11.0)),  # no bid in any of the three
        (day + 6 * S, (10.0, 11.0)),  # one state behind, not two
    ]
    assert held(tmp_path, {"2025-11-27": [states]}, [tickers]) == (WitnessSpan(day, 9, 3, 1),)


def test_a_clock_that_steps_back_brings_back_no_state(tmp_path: Path) -> None:
    times = (1, 5, 3, 4, 6, 7, 8)
    states = [(MIDNIGHT_NS + ts * S, (9.0 if ts == 1 else 10.0, 11.0)) for ts in times]
    tickers = [(MIDNIGHT_NS + 4 * S + 1, (10.0, 11.0)), (MIDNIGHT_NS + 5 * S, (10.0, 11.0))]
    assert held(tmp_path, {"2025-11-27": [states]}, [tickers]) == (WitnessSpan(MIDNIGHT_NS, 2, 1, 1),)


@pytest.mark.parametrize("group", [1, 2, 100])
def test_states_of_the_days_beside(group: int, tmp_path: Path) -> None:
    day = MIDNIGHT_NS
    books = {
        "2025-11-25": [[(day - 86_400 * S - 5 * S, (1.0, 2.0))]],
        "2025-11-26": [[(day - 9 * S, (8.0, 9.0))], [(day - 8 * S, (8.0, 9.0)), (day - S, (10.0, 11.0))]],
        "2025-11-27": [[(day + 3600 * S, (10.0, 11.0))]],
        "2025-11-28": [[(day + 86_400 * S, (10.0, 11.0))], [(day + 86_401 * S, (10.0, 11.0))]],
    }
    tickers = [[(day - S, (10.0, 11.0)), (day + S, (10.0, 11.0))], [(day + 3600 * S, (10.0, 12.0))]]
    assert held(tmp_path, books, tickers, group=group) == (
        WitnessSpan(day - 3600 * S, 1, 1, 1),
        WitnessSpan(day, 1, 1, 1),
        WitnessSpan(day + 3600 * S, 1, 1, 0),
    )


@pytest.mark.parametrize("kind", [pa.float64(), pa.decimal128(38, 18)])
@pytest.mark.parametrize("seed", range(6))
def test_random_rows_are_those_of_the_reference(seed: int, kind: pa.DataType, tmp_path: Path) -> None:
    draw = random.Random(seed)
    number = float if kind == pa.float64() else Decimal

    def rows(count: int) -> list[Stated]:
        ts = MIDNIGHT_NS - draw.randrange(7200) * S
        found = []
        for _ in range(count):
            ts += draw.choice([-S, 0, S, 30 * S, 600 * S])
            found.append((ts, tuple(draw.choice([None, *[number(k) for k in (1, 1, 1, 1, 2)]]) for _ in range(2))))
        return found

    def dates(found: list[Stated]) -> dict[str, list[Stated]]:
        days = {"2025-11-26": -1, "2025-11-27": 0, "2025-11-28": 1}
        return {
            date: mine
            for date, day in days.items()
            if (mine := [row for row in found if (row[0] - MIDNIGHT_NS) // (86_400 * S) == day])
        }

    states, said = rows(400), rows(300)
    cut = draw.randrange(1, 50)
    books = {date: [mine[:cut], mine[cut:]] if mine[cut:] else [mine] for date, mine in dates(states).items()}
    found = held(tmp_path, books, list(dates(said).values()), group=draw.choice([1, 7, 1000]), kind=kind)
    names = ("ts_server", "bid_price_0", "ask_price_0", "best_bid", "best_ask")
    asked = [
        {
            "product_id": "BTC-USD",
            "date": date,
            "segment": "s",
            "line": k,
            **dict(zip(names, (ts, *prices), strict=False)),
        }
        for date, mine in dates(states).items()
        for k, (ts, prices) in enumerate(mine)
    ]
    tickers = [{"product_id": "BTC-USD", "ts_server": ts, "best_bid": bid, "best_ask": ask} for ts, (bid, ask) in said]
    expected = [
        (row["ts_start"], row["n_witnesses"], row["n_compared"], row["n_equal"])
        for row in reference_rows(asked, tickers)
    ]
    assert [(span.ts_start, span.witnesses, span.compared, span.equal) for span in found] == expected
    assert sum(span.compared for span in found) > sum(span.equal for span in found) > 0


def test_tasks_are_of_products_with_both() -> None:
    def file(*path: str) -> BuiltFile:
        return BuiltFile(path[0], "/".join(path), 1, 10, "0123456789ab", None, None)

    files = [
        file("ticker", "product_id=A%2FB", "date=2025-11-26", "part-00000-0123456789ab.parquet"),
        file("book", "product_id=A%2FB", "date=2025-11-27", "part-00001-0123456789ab.parquet"),
        file("book", "product_id=A%2FB", "date=2025-11-26", "part-00001-0123456789ab.parquet"),
        file("book", "product_id=A%2FB", "date=2025-11-26", "part-00000-ba9876543210.parquet"),
        file("book", "product_id=BTC-USD", "date=2025-11-26", "part-00000-0123456789ab.parquet"),
        file("ticker", "product_id=ETH-USD", "part-00000-0123456789ab.parquet"),
        file("rejects", "date=2025-11-26", "part-00000-0123456789ab.parquet"),
    ]
    (task,) = plan_witness(files, ["BTC-USD", "A/B"])
    assert (task.product, task.bytes, [path.rpartition("/")[2] for path in task.books["2025-11-26"]]) == (
        "A/B",
        40,
        ["part-00000-ba9876543210.parquet", "part-00001-0123456789ab.parquet"],
    )
    assert list(task.books) == ["2025-11-26", "2025-11-27"]


def test_no_hours_no_rows() -> None:
    assert len(witness_rows(())) == 0


def rows_of(output: Path) -> list[dict[str, object]]:
    return [row for path in sorted((output / "witness").rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_real_flow(real_flow: Path, output_dir: Path) -> None:
    run(real_flow, output_dir)
    rows = rows_of(output_dir)
    assert [
        (row["product_id"], row["date"], row["n_witnesses"], row["n_compared"], row["n_equal"]) for row in rows
    ] == [
        ("BTC-USDT", "2024-08-08", 9737, 2063, 2063),
        ("ETH-USDT", "2024-08-08", 6098, 1128, 1128),
        ("BTC-USDT", "2024-08-09", 10166, 2150, 2149),
        ("ETH-USDT", "2024-08-09", 8417, 1379, 1379),
    ]
    assert [row["share"] for row in rows] == [1.0, 1.0, 2149 / 2150, 1.0]
    (path, *_) = (output_dir / "witness").rglob("*.parquet")
    assert pq.read_schema(path).equals(WITNESS.schema(), check_metadata=True)


@pytest.mark.parametrize(
    "channels",
    [
        {"ticker": {"enabled": False}},
        {"level2": {"enabled": False}},
        {"level2": {"processor_options": {"reconstruct_lob": False}}},
        {"level2": {"processor_options": {"emit": "1s"}}},
        {"ticker": {"partition_cols": ["date"]}},
        {"ticker": {"processors": ["etl_ray.processors:TickerProcessor"]}},
    ],
)
def test_no_witness(channels: dict[str, object], sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, channels=channels)
    assert {row["kind"] for row in rows_of(output_dir)} == {"candle"}


def test_a_sample_agrees_with_itself(sample_dir: Path, output_dir: Path) -> None:
    run(sample_dir, output_dir, channels={"ticker": {"partition_cols": ["product_id"]}})
    rows = [row for row in rows_of(output_dir) if row["kind"] == "ticker"]
    assert len(rows) == 4
    assert {row["share"] for row in rows} <= {None, 1.0}
    assert sum(row["n_compared"] for row in rows) > 0  # type: ignore[misc]
