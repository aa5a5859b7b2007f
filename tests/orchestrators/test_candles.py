"""Each candle once: random versions on several connections, held to the plain reference however the input is cut."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from etl_ray import BaseProcessor, ETLJob
from etl_ray.orchestrators.candle_build import last_versions
from etl_ray.tables import CANDLES, DELIVERED_CANDLES
from tests.reference.against import Asked
from tests.reference.candles import last_candles
from tests.reference.compare import assert_equal, read_output
from tests.reference.messages import Row

BEFORE_MIDNIGHT_S = 1_764_201_600 - 600  # 2025-11-26T23:50:00Z
NS = 10**9
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
COLS = (("product_id", "date"), ("date", "product_id"), ("date",), ("product_id",), ())


@dataclass(frozen=True)
class Sent:
    """A message of candles on one of three connections: (product, start in five minutes) and a volume each.

    A connection that `restarts` is followed by a new one; `lost` numbers are missing before the message.
    """

    connection: int
    candles: tuple[tuple[str, int], ...]
    volume: int
    restarts: bool = False
    lost: int = 0
    is_snapshot: bool = False
    time_s: int = 0


SENT = st.lists(
    st.builds(
        Sent,
        connection=st.integers(0, 2),
        candles=st.lists(
            st.tuples(st.sampled_from(("BTC-USD", "BTC-USD", "ETH-USD", "a/b")), st.integers(0, 5)), max_size=3
        ).map(tuple),
        volume=st.integers(0, 99),
        restarts=st.sampled_from((False, False, False, True)),
        lost=st.sampled_from((0, 0, 0, 1)),
        is_snapshot=st.booleans(),
        time_s=st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)
CUTS = st.builds(
    Asked,
    numbers=st.sampled_from(("float64", "decimal")),
    products=st.sampled_from((None, None, ("BTC-USD",))),
    end_ns=st.sampled_from((None, None, (BEFORE_MIDNIGHT_S + 2) * NS)),
    unit_bytes=st.sampled_from((None, 400, 2_000)),
    block_bytes=st.just(400),
    rows_per_file=st.sampled_from((1, 1_000)),
    bare=st.just(True),
)


def line_of(sent: Sent, number: int) -> bytes:
    """Return the line of a message."""
    candles = [
        {
            "start": str(BEFORE_MIDNIGHT_S + 300 * start),
            "high": "3",
            "low": "1",
            "open": "2",
            "close": f"2.{start}",
            "volume": f"0.{sent.volume:02}",
            "product_id": product,
        }
        for product, start in sent.candles
    ]
    kind = "snapshot" if sent.is_snapshot else "update"
    timestamp = f"2025-11-26T23:50:0{sent.time_s}Z"
    events = [{"type": kind, "candles": candles}]
    return json.dumps({"channel": "candles", "timestamp": timestamp, "sequence_num": number, "events": events}).encode()


def write(messages: list[Sent], input_dir: Path) -> None:
    """Write a recording into two segments."""
    numbers = [0, 0, 0]
    lines = []
    for sent in messages:
        numbers[sent.connection] = 0 if sent.restarts else numbers[sent.connection] + sent.lost
        lines.append(line_of(sent, numbers[sent.connection]) + b"\n")
        numbers[sent.connection] += 1
    middle = len(lines) // 2
    for number, part in enumerate((lines[:middle], lines[middle:])):
        (input_dir / f"segment_20251126_{number}.ndjson").write_bytes(b"".join(part))


def check(messages: list[Sent], asked: Asked, cols: tuple[str, ...]) -> None:
    """Hold a recording to the reference."""
    with tempfile.TemporaryDirectory() as place:
        input_dir, output_dir = Path(place) / "input", Path(place) / "output"
        input_dir.mkdir()
        write(messages, input_dir)
        config = asked.config().merge({"channels": {"candles": {"partition_cols": list(cols)}}})
        ETLJob(str(input_dir), str(output_dir), config=config).process_all()
        truth = asked.truth([input_dir])
        keys = {"candles": cols}
        assert_equal(
            read_output(output_dir, asked.numbers, tables=truth.schemas, partition_cols=keys),
            truth,
            partition_cols=keys,
        )


@given(messages=SENT, asked=CUTS, cols=st.sampled_from(COLS))
@settings(max_examples=25, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_each_candle_is_kept_once_however_the_input_is_cut(
    messages: list[Sent], asked: Asked, cols: tuple[str, ...]
) -> None:
    check(messages, asked, cols)


@pytest.mark.slow
@given(messages=SENT, asked=CUTS, cols=st.sampled_from(COLS))
@settings(max_examples=300, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_many_more_of_them(messages: list[Sent], asked: Asked, cols: tuple[str, ...]) -> None:
    check(messages, asked, cols)


def version(position: int, start: int, connection: str, product: str = "BTC-USD") -> Row:
    """Return a row as it is delivered, as the `position`-th of all."""
    ts_start = (BEFORE_MIDNIGHT_S + 300 * start) * NS
    return {
        "product_id": product,
        "date": "2025-11-26",
        "ts_start": ts_start,
        "ts_end": ts_start + 300 * NS,
        "ts_server": ts_start + position,
        "ts_capture": None,
        "sequence_num": position,
        **dict.fromkeys(("open", "high", "low", "close"), 1.0),
        "volume": float(position),
        "is_snapshot": False,
        "connection_id": connection,
        "segment": f"s{position // 10}.ndjson",
        "line": position % 10 + 1,
        "event_index": 0,
        "row_index": 0,
    }


def last(versions: list[Row], cuts: list[int], rows_at_once: int = 500_000) -> list[Row]:
    """Return what is kept of versions that come in pieces, times as ns."""
    bounds = [0, *sorted(cuts), len(versions)]
    pieces = (pa.Table.from_pylist(versions[a:b], schema=DELIVERED_CANDLES.schema()) for a, b in pairwise(bounds))
    found = last_versions(pieces, "float64", rows_at_once=rows_at_once)
    assert found.schema.equals(CANDLES.schema(), check_metadata=True)
    plain = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in found.columns]
    return pa.table(plain, names=found.column_names).to_pylist()


@settings(deadline=None)
@given(
    drawn=st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    rows_at_once=st.sampled_from((1, 3, 10, 1000)),
)
def test_versions_in_pieces(drawn: list[tuple[int, str]], cuts: list[int], rows_at_once: int) -> None:
    versions = [version(position, start, connection) for position, (start, connection) in enumerate(drawn)]
    assert last(versions, [min(cut, len(versions)) for cut in cuts], rows_at_once) == last_candles(versions)


@pytest.mark.parametrize(
    ("arrived", "kept"),
    [
        ([(0, "a"), (0, "a")], [(0, 1, 2, False)]),
        ([(0, "a"), (1, "a")], [(0, 0, 1, True), (1, 1, 1, False)]),
        ([(1, "a"), (0, "a")], [(0, 1, 1, False), (1, 0, 1, False)]),  # the later one came before
        ([(0, "a"), (1, "b")], [(0, 0, 1, False), (1, 1, 1, False)]),  # on another connection
        ([(0, "a"), (1, "a"), (0, "b")], [(0, 2, 2, False), (1, 1, 1, False)]),  # the kept one is of the other
        ([(0, "a"), (1, "a"), (0, "b"), (2, "b")], [(0, 2, 2, True), (1, 1, 1, False), (2, 3, 1, False)]),
        ([(0, "a"), (1, "a"), (0, "a"), (1, "a")], [(0, 2, 2, True), (1, 3, 2, False)]),
        ([(0, "a"), (2, "a"), (1, "a"), (1, "b")], [(0, 0, 1, True), (1, 3, 2, False), (2, 1, 1, False)]),
        ([], []),
    ],
)
def test_which_version_is_kept_and_when_it_is_final(
    arrived: list[tuple[int, str]], kept: list[tuple[int, int, int, bool]]
) -> None:
    versions = [version(position, start, connection) for position, (start, connection) in enumerate(arrived)]
    found = [
        (
            (int(str(row["ts_start"])) // NS - BEFORE_MIDNIGHT_S) // 300,
            row["volume"],
            row["n_versions"],
            row["is_final"],
        )
        for row in last(versions, [])
    ]
    assert found == kept


def test_the_last_candle_of_a_date_is_ended_by_one_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write([Sent(0, (("BTC-USD", 1),), 1), Sent(0, (("BTC-USD", 2),), 2)], tmp_path / "in")
    ETLJob(str(tmp_path / "in"), str(tmp_path / "out"), config=Asked().config()).process_all()
    found = {
        path.parent.name: pq.ParquetFile(path).read().select(["is_final", "n_versions"]).to_pylist()
        for path in (tmp_path / "out/candles").rglob("*.parquet")
    }
    assert found == {
        "date=2025-11-26": [{"is_final": True, "n_versions": 1}],
        "date=2025-11-27": [{"is_final": False, "n_versions": 1}],
    }


class FinalOnly(BaseProcessor):
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.field("is_final"))


def test_processors_of_the_user_see_each_candle_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    candles = [Sent(0, (("BTC-USD", start),), volume) for volume, start in enumerate((0, 0, 1, 1, 2))]
    write(candles, tmp_path / "in")
    config = Asked().config().merge({"channels": {"candles": {"processors": [f"{__name__}:FinalOnly"]}}})
    ETLJob(str(tmp_path / "in"), str(tmp_path / "out"), config=config).process_all()
    found = [
        row["volume"]
        for path in (tmp_path / "out/candles").rglob("*.parquet")
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    assert found == [0.01, 0.03]


def test_delivered_candles_are_those_of_the_table_without_hindsight() -> None:
    assert set(CANDLES.names) - set(DELIVERED_CANDLES.names) == {"n_versions", "is_final"}
