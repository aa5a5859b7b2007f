"""The job over faulty recordings: what it says of them is what faults.json tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.summary import RunSummary

from .faulty import Faulty, place, places
from .witness import unpacked

LINE = ("segment", "line", "connection_id")
CUT = "the gzip data is cut: it ends in the middle of a stream"


@dataclass(frozen=True)
class Done:
    """A job, and the recording that it has read."""

    found: Faulty
    summary: RunSummary
    output: Path

    def rows(self, table: str, *columns: str) -> Iterator[dict]:
        for path in sorted((self.output / table).rglob("*.parquet")):
            yield from pq.read_table(path, partitioning=None, columns=list(columns)).to_pylist()


def run(found: Faulty, output: Path) -> Done:
    folder = str(Path(found.report.paths[0]).parent)
    return Done(found, ETLJob(folder, str(output), config=JobConfig(engine="local")).process_all(), output)


@pytest.fixture(scope="module")
def plain(faulty: Faulty, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return run(faulty, tmp_path_factory.mktemp("plain") / "out")


@pytest.fixture(scope="module")
def packed(interleaved: Faulty, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return run(interleaved, tmp_path_factory.mktemp("packed") / "out")


@pytest.fixture(params=["plain", "packed"])
def done(request: pytest.FixtureRequest) -> Done:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Done)
    return found


def test_every_line_is_accounted_for(done: Done) -> None:
    summary, report = done.summary, done.found.report
    assert summary.lines == report.lines
    assert summary.bytes == report.bytes
    assert summary.messages == report.messages
    assert summary.rejects == len(done.found.showing("rejected-line", "cut-line"))
    assert summary.ignored == report.messages["user"]
    assert summary.accepted == summary.lines - summary.rejects - summary.ignored
    assert (summary.blank, summary.out_of_range, summary.unknown_keys) == (0, 0, 0)
    assert summary.segments == len(report.paths)


def test_rejects_are_where_faults_are_told(done: Done) -> None:
    rejected = {(row["segment"], row["line"]) for row in done.rows("rejects", "segment", "line")}
    assert rejected == places(done.found.showing("rejected-line", "cut-line"))


def test_damage_is_reported_to_the_byte(plain: Done, packed: Done) -> None:
    assert plain.summary.damaged == ()
    (fault,) = packed.found.showing("damaged-segment")
    (damage,) = packed.summary.damaged
    cut = packed.found.report.paths[-1]
    assert Path(cut).name == f"{fault['segment']}.gz"
    data, _ = unpacked(cut)
    assert damage == f"{cut}: damaged after {len(data):,} unpacked bytes: {CUT}"


def test_trades_have_every_delivered_copy(done: Done) -> None:
    _, _, delivered = done.found.seen.trades()
    stored: dict[str, set[int]] = {}
    for row in done.rows("market_trades", "product_id", "trade_id"):
        stored.setdefault(row["product_id"], set()).add(int(row["trade_id"]))
    assert stored == delivered


def test_connections_are_told_apart(done: Done) -> None:
    first = {fault["connection"]: place(fault) for fault in done.found.of("connection")}
    expected = {message.place: "{}:{}".format(*first[message.connection]) for message in done.found.seen.messages}
    stored = {
        table: {(row["segment"], row["line"]): row["connection_id"] for row in done.rows(table, *LINE)}
        for table in ("level2", "market_trades", "ticker", "candles", "status", "heartbeats", "subscriptions")
    }
    messages = done.summary.messages
    # Of trades and candles a run keeps each once, so there are messages without a row.
    assert sum(len(lines) for table, lines in stored.items() if table not in ("market_trades", "candles")) == (
        sum(messages.values())
        - sum(messages[name] for name in ("market_trades", "candles", "error"))
        - done.summary.ignored
    )
    for lines in stored.values():
        assert lines
        assert lines == {at: expected[at] for at in lines}


def test_holes_are_found_with_what_is_missing_in_them(done: Done) -> None:
    # Numbers that are missing before the first message of a connection are not counted, nor are dropped heartbeats.
    seen = done.found.seen
    holes = [last - first + 1 for _, first, last in seen.holes() - seen.explained_holes() if first > 0]
    told = f"sequence numbers have {len(holes):,} holes, where {sum(holes):,} messages are missing"
    told += "; the tables connections and coverage say where"
    assert [finding for finding in done.summary.findings if "sequence numbers" in finding] == [told]
