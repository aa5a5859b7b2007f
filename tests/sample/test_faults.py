"""Faults: each kind alone and all together, found again in the recording without the generator."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from etl_ray.sample import write_sample
from etl_ray.sample.faults import VISIBLE
from etl_ray.sample.options import FAULT_KINDS, Compression

from .faulty import ALWAYS, SMALL, Faulty, check, place, record

NS_PER_S = 10**9


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_each_kind_alone_is_found_and_nothing_else(tmp_path: Path, kind: str) -> None:
    found = record(tmp_path / "out", replace(SMALL, faults=(kind,)))
    check(found)
    assert {fault["kind"] for fault in found.faults} - ALWAYS == {kind}
    assert found.report.faults.keys() - ALWAYS == {kind}


def test_all_kinds_together_are_found(faulty: Faulty) -> None:
    check(faulty)
    assert {fault["kind"] for fault in faulty.faults} == {*FAULT_KINDS, *ALWAYS}
    unseen = {"damaged-segment", "nothing"}
    assert {word for fault in faulty.faults for word in fault["visible"]} == set(VISIBLE) - unseen
    assert {fault["detail"] for fault in faulty.of("garbage")} == {"broken", "binary", "glued", "wrong-types"}
    assert faulty.report.faults == {kind: len(faulty.of(kind)) for kind in (*FAULT_KINDS, *ALWAYS)}


def test_faults_of_connections_side_by_side_are_found(interleaved: Faulty) -> None:
    check(interleaved, is_crowded=True)
    assert {fault["kind"] for fault in interleaved.faults} == {*FAULT_KINDS, *ALWAYS}
    assert interleaved.seen.damaged == {Path(interleaved.report.paths[-1]).name.removesuffix(".gz")}
    # After an outage all of them connect again.
    (down,) = interleaved.of("down")
    assert len(interleaved.of("connection")) == interleaved.options.connections * 2 + 3
    assert interleaved.faults[interleaved.faults.index(down) + 1]["connection"] == down["connection"]


@pytest.mark.parametrize("compress", ["gz", "zst"])
def test_a_compressed_recording_ends_in_damage(tmp_path: Path, compress: Compression) -> None:
    options = replace(SMALL, products=("BTC-USD",), compress=compress, faults=("cut-tail",))
    found = record(tmp_path / "out", options)
    check(found)
    (told,) = found.of("cut-tail")
    assert told["visible"] == ["cut-line", "damaged-segment"]


def test_what_each_kind_takes_away(faulty: Faulty) -> None:
    lost = [sum(fault["channels"].values()) for fault in faulty.of("lost")]
    assert (lost[0], lost[3]) == (1, 1)
    assert 2 <= lost[1] <= 6
    assert 7 <= lost[2] <= 20
    assert [fault["channels"] for fault in faulty.of("heartbeats")] == [{"heartbeats": 1}] * 4
    assert {channel for fault in faulty.of("healing") for channel in fault["channels"]} == {"market_trades"}
    first_answers = [channel for fault in faulty.of("discarded") for channel in fault["channels"]]
    assert first_answers == [
        *("status", "subscriptions", "l2_data", "market_trades", "ticker", "ticker_batch", "candles", "user")
    ]
    assert [fault["detail"] for fault in faulty.of("resubscribed")] == ["l2_data", "market_trades"]
    (down,) = faulty.of("down")
    assert sorted(down["trades_lost"]) == list(faulty.options.products)
    assert all(last - first > 100 for ((first, last),) in down["trades_lost"].values())


def test_a_reconnect_heals_what_was_lost_before_it(faulty: Faulty) -> None:
    last_lost = faulty.of("healing")[-1]
    after = [fault for fault in faulty.of("trade-snapshot") if fault["connection"] == last_lost["connection"] + 1]
    for product in {product for fault in faulty.of("healing") for product in fault["trades_lost"]}:
        lost = [bound for fault in faulty.of("healing") for bound in fault["trades_lost"].get(product, [])]
        (snapshot,) = [fault for fault in after if fault["products"] == [product]]
        ((_, repeated_until),) = snapshot["trades_repeated"][product]
        ((healed_from, healed_until),) = snapshot["trades_healed"][product]
        assert repeated_until + 1 == healed_from == lost[0][0]
        assert lost[-1][1] <= healed_until


def test_nothing_happens_at_first_and_for_a_while_in_between(faulty: Faulty) -> None:
    at_ns = {message.place: message.server_ns for message in faulty.seen.messages}
    calm = {"trade-snapshot", "connection"}
    times_ns = [at_ns[place(fault)] for fault in faulty.faults if fault["kind"] not in calm and place(fault) in at_ns]
    assert times_ns[0] - faulty.options.start_ns >= 12 * NS_PER_S
    middle_ns = faulty.options.start_ns + faulty.options.duration_ns // 2
    calms_ns = [later - earlier for earlier, later in pairwise(sorted(times_ns)) if earlier < middle_ns]
    assert max(calms_ns) >= 8 * NS_PER_S


def test_a_server_clock_steps_back_over_midnight(faulty: Faulty) -> None:
    back, forth = faulty.of("server-step")
    assert back["step_ns"] == -forth["step_ns"] < -NS_PER_S
    ours = faulty.seen.connections[back["connection"]]
    at = next(index for index, message in enumerate(ours) if message.place == place(back))
    days = [message.message["timestamp"][:10] for message in ours[at - 2 : at + 1]]
    assert days == ["2025-11-27", "2025-11-27", "2025-11-26"]


def test_a_capture_clock_steps_by_what_is_told(faulty: Faulty) -> None:
    first, second = faulty.of("clock-step")
    ours = faulty.seen.connections[first["connection"]]
    late_ns = {
        message.place: message.capture_ns - message.server_ns for message in ours if message.capture_ns is not None
    }
    assert first["step_ns"] == -second["step_ns"]
    assert abs(first["step_ns"]) >= 1.5 * NS_PER_S
    during = [value for at, value in late_ns.items() if place(first) <= at < place(second)]
    otherwise = [value for at, value in late_ns.items() if at < place(first) or at >= place(second)]
    assert 0 < min(otherwise) <= max(otherwise) < 0.25 * NS_PER_S
    assert first["step_ns"] < min(during) <= max(during) < first["step_ns"] + 0.25 * NS_PER_S
    assert len(during) > 10


@pytest.mark.parametrize("compress", ["none", "gz"])
def test_the_same_options_give_the_same_bytes(tmp_path: Path, compress: str) -> None:
    options = replace(SMALL, products=("BTC-USD",), compress=compress, faults=FAULT_KINDS)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        write_sample(str(folder), options)
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second
    assert "faults.json" in first


def test_another_seed_gives_other_faults(tmp_path: Path) -> None:
    told = [
        record(tmp_path / str(seed), replace(SMALL, products=("BTC-USD",), seed=seed, faults=("lost",))).of("lost")
        for seed in (1, 2)
    ]
    assert told[0] != told[1]


def test_without_faults_nothing_is_told(tmp_path: Path) -> None:
    report = write_sample(str(tmp_path), replace(SMALL, products=("BTC-USD",)))
    assert (report.faults, report.faults_path) == ({}, None)
    assert {path.suffix for path in tmp_path.iterdir()} == {".ndjson"}
