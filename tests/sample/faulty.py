"""Faulty recordings, and how what is told of them is held to what is seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from etl_ray.sample import SampleOptions, SampleReport, write_sample
from etl_ray.sample.fault_log import FaultLog
from etl_ray.sample.fault_plan import plan_faults
from etl_ray.sample.options import FAULT_KINDS
from etl_ray.sample.recording import faulty_lines

from .witness import Place, Witness, ids, intervals, records, witness

ALWAYS = {"connection", "trade-snapshot"}
SMALL = SampleOptions(
    minutes=0.6,
    rate=5,
    levels=20,
    products=("BTC-USD", "ETH-USD", "PEPE-USD"),
    segment_mb=0.3,
    start="2025-11-26T23:59:46Z",
)
TWO_MINUTES = SampleOptions(rate=5, levels=20, segment_mb=0.5, faults=FAULT_KINDS)


@dataclass(frozen=True)
class Faulty:
    """A recording: what its faults.json tells, and what a witness has seen."""

    options: SampleOptions
    report: SampleReport
    faults: list[dict]
    seen: Witness

    def of(self, *kinds: str) -> list[dict]:
        return [fault for fault in self.faults if fault["kind"] in kinds]

    def showing(self, *words: str) -> list[dict]:
        return [fault for fault in self.faults if set(words) & set(fault["visible"])]


def record(out_dir: Path, options: SampleOptions) -> Faulty:
    report = write_sample(str(out_dir), options)
    connections = true_connections(options) if options.overlap else None
    return Faulty(options, report, records(report.faults_path), witness(report.paths, connections))


def true_connections(options: SampleOptions) -> list[int]:
    """Return the connection of each numbered message that is written: what interleaves cannot be told apart by eye."""
    log = FaultLog(plan_faults(options))
    found = []
    for line in faulty_lines(options, log):
        if line.message is not None and line.message.sequence_num is not None:
            log.written(line.message, "", 0)
            found.append(line.message.connection)
    return found


def place(fault: dict) -> Place:
    return fault["segment"], fault["line"]


def places(faults: list[dict]) -> set[Place]:
    return {place(fault) for fault in faults}


def numbers(faults: list[dict]) -> set[tuple[int, int]]:
    """Return (connection, number) of the messages concerned."""
    return {
        (fault["connection"], number)
        for fault in faults
        for number in range(fault["first_sequence_num"], fault["last_sequence_num"] + 1)
    }


def trades(faults: list[dict], key: str) -> dict[Place, dict[str, set[int]]]:
    """Return trade ids by place and product."""
    return {
        place(fault): {product: ids(ranges) for product, ranges in fault[key].items()} for fault in faults if fault[key]
    }


def check(found: Faulty, *, is_crowded: bool = False) -> None:
    """Assert that all that is told is seen, where it is told, and nothing else.

    Where other holes lie between two heartbeats, a crowd of them, nobody can tell which hole is a heartbeat's.
    """
    check_lines(found)
    check_numbers(found)
    told = intervals(numbers(found.showing("explained-hole")))
    explained = found.seen.explained_holes()
    assert explained <= told if is_crowded else explained == told
    check_snapshots(found)
    check_trades(found)
    check_clocks(found)
    check_connections(found)


def check_lines(found: Faulty) -> None:
    seen = found.seen
    assert seen.rejected == places(found.showing("rejected-line"))
    assert seen.cut == places(found.showing("cut-line"))
    assert seen.damaged == {fault["segment"] for fault in found.showing("damaged-segment")}
    assert (seen.lines, seen.bytes) == (found.report.lines, found.report.bytes)
    assert sum(found.report.messages.values()) == seen.lines - len(seen.rejected) - len(seen.cut)


def check_numbers(found: Faulty) -> None:
    seen = found.seen
    missing = found.showing("hole", "explained-hole")
    assert seen.holes() == intervals(numbers(missing))
    at = {message.place: (message.connection, message.number) for message in seen.messages}
    behind = {(connection, last + 1) for connection, _, last in seen.holes()}
    assert {at[place(fault)] for fault in missing if fault["kind"] != "garbage"} <= behind
    for fault in missing:
        assert sum(fault["channels"].values()) == fault["last_sequence_num"] - fault["first_sequence_num"] + 1


def check_snapshots(found: Faulty) -> None:
    told = {(fault["connection"], product) for fault in found.faults for product in fault["books_missing"]}
    unsent = found.seen.bookless()
    assert {(connection, product) for connection, product, _ in unsent} == told
    assert {connection for connection, _ in told} == {fault["connection"] for fault in found.showing("no-snapshot")}
    alone = [fault for fault in found.of("no-snapshot") if fault["visible"] == ["no-snapshot"]]
    assert places(alone) <= {at for *_, at in unsent}
    again = {
        (fault["connection"], fault["detail"], fault["first_sequence_num"], place(fault))
        for fault in found.showing("new-snapshot")
    }
    assert found.seen.sent_again() == again


def check_trades(found: Faulty) -> None:
    snapshots = found.of("trade-snapshot")
    repeated, healed, delivered = found.seen.trades()
    assert repeated == trades(snapshots, "trades_repeated")
    assert healed == trades(snapshots, "trades_healed")
    assert set(repeated) == places(found.showing("duplicate-trades"))
    assert set(healed) == places(found.showing("healed-trades"))
    for product, known in delivered.items():
        lost = {number for fault in found.faults for number in ids(fault["trades_lost"].get(product, []))}
        between = set(range(min(known), max(known)))
        assert between - known == (lost & between) - known


def check_clocks(found: Faulty) -> None:
    capture = [(place(fault), fault["step_ns"] < 0) for fault in found.of("clock-step")]
    server = {(fault["connection"], place(fault), fault["step_ns"] < 0) for fault in found.of("server-step")}
    assert found.seen.capture_steps() == capture
    assert found.seen.server_steps() == server
    assert len(capture) + len(server) == len(found.showing("clock-step"))


def check_connections(found: Faulty) -> None:
    told = {
        fault["connection"]: (place(fault), fault["first_sequence_num"], fault["last_sequence_num"])
        for fault in found.of("connection")
    }
    seen = found.seen.connections.items()
    assert {number: (ours[0].place, ours[0].number, ours[-1].number) for number, ours in seen} == told
    assert places(found.showing("new-connection")) == {at for at, _, _ in told.values()}
    assert found.seen.silences() == places(found.showing("silence"))
