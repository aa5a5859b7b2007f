"""Each trade once: random deliveries of trades, held to the plain reference however the input is cut."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from etl_ray import ETLJob
from tests.orchestrators.outputs import table_files_of
from tests.reference.against import Asked, run, run_and_compare

START_S = 1_764_201_590  # 2025-11-26T23:59:50Z
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@dataclass(frozen=True)
class Delivery:
    """A message of trades on one of three connections: ids count up from `first_id`; `lost` numbers are missing."""

    connection: int
    product: str
    first_id: int
    count: int
    step: int
    is_snapshot: bool
    lost: int
    time_s: int


DELIVERIES = st.lists(
    st.builds(
        Delivery,
        st.integers(0, 2),
        st.sampled_from(("BTC-USD", "ETH-USD")),
        st.integers(0, 60),
        st.integers(0, 6),
        st.sampled_from((1, 1, 1, 2, -1)),
        st.booleans(),
        st.sampled_from((0, 0, 0, 1)),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=40,
)
CUTS = st.builds(
    Asked,
    numbers=st.sampled_from(("float64", "decimal")),
    unit_bytes=st.sampled_from((None, 500, 3_000)),
    block_bytes=st.just(400),
    rows_per_file=st.sampled_from((1, 4, 1_000)),
    bare=st.just(True),
)


def line_of(delivery: Delivery, sequence_num: int) -> bytes:
    """Return a message; the time of a trade depends on its id alone, and mostly grows with it."""
    ids = [delivery.first_id + delivery.step * k for k in range(delivery.count)]
    trades = [
        {
            "trade_id": str(trade_id),
            "product_id": delivery.product,
            "price": f"{100 + trade_id % 7}.{trade_id % 10}",
            "size": f"0.{trade_id + 1:08}",
            "time": time_of(START_S + (trade_id // 3 if trade_id % 11 else 2), trade_id % 3),
            "side": "BUY" if trade_id % 2 else "SELL",
        }
        for trade_id in ids
        if trade_id >= 0
    ]
    return json.dumps(
        {
            "channel": "market_trades",
            "timestamp": time_of(START_S + delivery.time_s, 0),
            "sequence_num": sequence_num,
            "events": [{"type": "snapshot" if delivery.is_snapshot else "update", "trades": trades}],
        }
    ).encode()


def time_of(second: int, tenth: int) -> str:
    """Return a time of the wire."""
    day, rest = divmod(second - 1_764_115_200, 86_400)
    hours, minutes, seconds = rest // 3600, rest // 60 % 60, rest % 60
    return f"2025-11-{26 + day}T{hours:02}:{minutes:02}:{seconds:02}.{tenth}Z"


def write(deliveries: list[Delivery], input_dir: Path) -> None:
    """Write a recording into two segments."""
    numbers = [0, 0, 0]
    lines = []
    for delivery in deliveries:
        numbers[delivery.connection] += delivery.lost
        lines.append(line_of(delivery, numbers[delivery.connection]))
        numbers[delivery.connection] += 1
    middle = len(lines) // 2
    for number, part in enumerate((lines[:middle], lines[middle:])):
        (input_dir / f"segment_20251126_{number}.ndjson").write_bytes(b"".join(line + b"\n" for line in part))


def check(deliveries: list[Delivery], asked: Asked) -> None:
    """Hold a recording to the reference."""
    with tempfile.TemporaryDirectory() as place:
        input_dir = Path(place) / "input"
        input_dir.mkdir()
        write(deliveries, input_dir)
        run_and_compare(input_dir, Path(place) / "output", asked)


@pytest.mark.slow
@given(deliveries=DELIVERIES, asked=CUTS, order=st.permutations(range(3)))
@settings(max_examples=100, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_each_trade_is_kept_once_over_several_runs(deliveries: list[Delivery], asked: Asked, order: list[int]) -> None:
    with tempfile.TemporaryDirectory() as place:
        whole, input_dir, output_dir = (Path(place) / name for name in ("whole", "input", "output"))
        whole.mkdir()
        input_dir.mkdir()
        write(deliveries, whole)
        lines = [line for path in sorted(whole.iterdir()) for line in path.read_bytes().splitlines(keepends=True)]
        for number in order[:-1]:
            (input_dir / f"segment_20251126_{number}.ndjson").write_bytes(b"".join(lines[number::3]))
            run(input_dir, output_dir, asked)
        (input_dir / f"segment_20251126_{order[-1]}.ndjson").write_bytes(b"".join(lines[order[-1] :: 3]))
        run_and_compare(input_dir, output_dir, asked)


@given(deliveries=DELIVERIES, asked=CUTS)
@settings(max_examples=25, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_each_trade_is_kept_once_however_the_input_is_cut(deliveries: list[Delivery], asked: Asked) -> None:
    check(deliveries, asked)


@pytest.mark.slow
@given(deliveries=DELIVERIES, asked=CUTS)
@settings(max_examples=300, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_many_more_of_them(deliveries: list[Delivery], asked: Asked) -> None:
    check(deliveries, asked)


def rows(output_dir: Path) -> list[dict[str, object]]:
    """Return all trades, by product and id."""
    names = ["product_id", "date", "trade_id", "is_snapshot", "is_healed", "n_copies", "line"]
    found = [
        row
        for path in sorted((output_dir / "market_trades").rglob("*.parquet"))
        for row in pq.read_table(path, partitioning=None).select(names).to_pylist()
    ]
    return sorted(found, key=lambda row: (str(row["product_id"]), row["trade_id"]))


PLAIN = Delivery(0, "BTC-USD", 0, 1, 1, is_snapshot=False, lost=0, time_s=0)


def test_the_first_update_is_kept_else_the_first_of_a_snapshot(input_dir: Path, output_dir: Path) -> None:
    deliveries = [
        replace(PLAIN, first_id=3, count=2, is_snapshot=True),  # 3, 4 before any update
        replace(PLAIN, first_id=4, count=2),  # 4, 5
        replace(PLAIN, first_id=4, count=1),  # 4 again
        replace(PLAIN, first_id=5, count=4, is_snapshot=True, connection=1),  # 5 .. 8, of which 6, 7 came only so
        replace(PLAIN, first_id=8, count=1, connection=1),
    ]
    (input_dir / "s.ndjson").write_bytes(b"\n".join(line_of(item, k) for k, item in enumerate(deliveries)))
    run(input_dir, output_dir, Asked(bare=True))
    found = [
        (row["trade_id"], row["is_snapshot"], row["is_healed"], row["n_copies"], row["line"])
        for row in rows(output_dir)
    ]
    assert found == [
        (3, True, False, 1, 1),
        (4, False, False, 3, 2),
        (5, False, False, 2, 2),
        (6, True, True, 1, 4),
        (7, True, True, 1, 4),
        (8, False, False, 2, 5),
    ]


def test_missing_ids_are_tiles_of_coverage(input_dir: Path, output_dir: Path) -> None:
    deliveries = [PLAIN, replace(PLAIN, first_id=1), replace(PLAIN, first_id=5), replace(PLAIN, first_id=6)]
    (input_dir / "s.ndjson").write_bytes(b"\n".join(line_of(item, k) for k, item in enumerate(deliveries)))
    run(input_dir, output_dir, Asked(bare=True))
    (path,) = (output_dir / "coverage").rglob("*.parquet")
    names = ["channel", "state", "cause", "line_start", "line_end", "ids_missing"]
    found = [tuple(row.values()) for row in pq.read_table(path, partitioning=None).select(names).to_pylist()]
    assert found == [
        ("market_trades", "verified", None, 1, 2, 0),
        ("market_trades", "suspect", "missing_ids", 2, 3, 3),
        ("market_trades", "verified", None, 3, 5, 0),
    ]


def test_a_late_snapshot_reaches_back_into_a_committed_date(input_dir: Path, output_dir: Path) -> None:
    config = Asked(bare=True).config().merge({"derived": {"bars": ["1s"]}})
    first = [replace(PLAIN, first_id=0, count=20), replace(PLAIN, first_id=40, count=20, time_s=15)]
    (input_dir / "a.ndjson").write_bytes(b"\n".join(line_of(item, k) for k, item in enumerate(first)))
    ETLJob(str(input_dir), str(output_dir), config=config).process_all()
    before = rows(output_dir)
    assert [row["trade_id"] for row in before] == [*range(20), *range(40, 60)]
    late = replace(PLAIN, first_id=15, count=30, is_snapshot=True, connection=1, time_s=16)
    (input_dir / "b.ndjson").write_bytes(line_of(late, 0))
    ETLJob(str(input_dir), str(output_dir), config=config).process_all()
    found = rows(output_dir)
    assert [row["trade_id"] for row in found] == list(range(60))
    assert {row["trade_id"]: row["date"] for row in found if row["is_healed"]} == {
        trade_id: "2025-11-26" if trade_id < 30 or trade_id == 33 else "2025-11-27" for trade_id in range(20, 40)
    }
    at_once = output_dir.parent / "at_once"
    ETLJob(str(input_dir), str(at_once), config=config).process_all()
    assert table_files_of(output_dir) == table_files_of(at_once)


@pytest.mark.parametrize("cols", [("product_id", "date"), ("date", "product_id"), ("date",), ("product_id",), ()])
def test_partitions_hold_each_trade_once(cols: tuple[str, ...], input_dir: Path, output_dir: Path) -> None:
    deliveries = [
        replace(PLAIN, product=product, first_id=first, count=9, is_snapshot=first % 2 == 0)
        for first in range(0, 60, 5)
        for product in ("ETH-USD", "BTC-USD")
    ]
    (input_dir / "s.ndjson").write_bytes(b"\n".join(line_of(item, k) for k, item in enumerate(deliveries)))
    config = Asked(rows_per_file=7, unit_bytes=900, block_bytes=500, bare=True).config()
    config = config.merge({"channels": {"market_trades": {"partition_cols": list(cols)}}})
    ETLJob(str(input_dir), str(output_dir), config=config).process_all()
    found = rows(output_dir)
    assert [(row["product_id"], row["trade_id"]) for row in found] == [
        (product, trade_id) for product in ("BTC-USD", "ETH-USD") for trade_id in range(64)
    ]
    assert len({row["date"] for row in found}) == 2
    for path in (output_dir / "market_trades").rglob("*.parquet"):
        assert tuple(part.split("=")[0] for part in path.relative_to(output_dir / "market_trades").parts[:-1]) == cols
