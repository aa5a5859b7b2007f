"""Coverage and connections of random recordings: what the reference says, whatever the cut."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from tests.coverage.job import job_tables
from tests.coverage.notation import Written, message
from tests.reference import reference

START = 1_764_201_580_000_000_000  # 2025-11-26T23:59:40Z
NS_PER_MS = 1_000_000
WORDS = ("snap BTC", "up BTC", "up BTC", "up ETH", "up ETH; snap BTC", "empty ETH", "none ETH", "snap SOL", "snap ETH")
CROSSING = ("up BTC b102x1", "up BTC b102x0", "up SOL b101x1 a101x0", "snap SOL b102x1 a101x1")
OTHERS = ("trades BTC", "ticker BTC ETH", "batch ETH", "candles SOL", "status BTC", "ack", "user", "hb", "hb")
LATER_MS = (1, 10, 50, 120, 300, 950, 1000, 1050, 2990, 3000, 3001, 4000, -30, -2500)
# Making a failing recording smaller takes longer than looking at it.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


def random_recording(seed: int) -> Written:
    """Return up to 60 lines of up to three connections, with all that can be wrong with them."""
    random = Random(seed)
    names = ["segment_20251126T23_00001.ndjson"]
    written = Written(title=str(seed), trust_beat=random.random() < 0.3, segments={names[0]: []})
    many_beats = random.random() < 0.4
    has_heartbeats = random.random() < (0.2 if many_beats else 0.8)
    numbers, counters, now_ns = [random.choice((0, 7, 500)), 0, 0], [5, 70, 900], START
    for _ in range(random.randint(5, 60)):
        lines = written.segments[names[-1]]
        k = random.choice((0, 0, 0, 1, 1, 2)) if seed % 3 else 0
        dice = random.random()
        if dice < 0.06:
            lines.append(random.choice((b"", b"{", b"{", b"not JSON", b'{"type":"error"}')))
            if dice < 0.03:
                numbers[k] += 1  # it was a message
            continue
        if dice < 0.1:
            if dice < 0.08:
                written.damaged.add(names[-1])
                numbers = [number + random.choice((0, 0, 2)) for number in numbers]
            names.append(f"segment_20251126T23_{len(names) + 1:05}.ndjson")
            written.segments[names[-1]] = []
            continue
        if dice < 0.13:
            numbers[k], counters[k] = random.choice((0, 0, 20)), random.choice((1, counters[k]))
        if dice > 0.85:
            lost = random.choice((1, 1, 1, 2, 5))
            numbers[k] += lost
            counters[k] += random.choice((0, lost, lost))
        later_ms = random.choice(LATER_MS)
        if many_beats and k == 0 and random.random() < 0.4:
            numbers[k] += 1
            later_ms = random.choice((950, 1000, 1050, 1101, 2000))
        now_ns += later_ms * NS_PER_MS
        word = random.choice(WORDS + CROSSING + OTHERS)
        if word == "hb":
            if not has_heartbeats:
                continue
            counters[k] += 1
            word = f"hb {counters[k]}"
        lines.append(message(word, numbers[k], now_ns))
        numbers[k] += 1
    return written


def check(seed: int, unit_bytes: int | None) -> None:
    """Hold the job's tables of a random recording to the reference's."""
    written = random_recording(seed)
    with TemporaryDirectory() as place:
        input_dir = Path(place) / "input"
        input_dir.mkdir()
        written.save(input_dir)
        truth = reference([input_dir], trusts_beat=written.trust_beat)
        if 2 * truth.counts.rejected > truth.counts.lines:
            return  # the job would refuse it
        output_dir = Path(place) / "output"
        found = job_tables(
            input_dir, output_dir, unit_bytes=unit_bytes, trust_beat=written.trust_beat, compute_features=False
        )
        assert found.connections == truth.connections
        assert found.coverage == truth.coverage
        for state in {f"{row['state']} {row['cause']}" for row in truth.coverage}:
            event(state)


@given(seed=st.integers(0, 2**32), unit_bytes=st.sampled_from((None, 200, 1000)))
@settings(max_examples=25, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_the_job_says_what_the_reference_says(seed: int, unit_bytes: int | None) -> None:
    check(seed, unit_bytes)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), unit_bytes=st.sampled_from((None, 200, 1000)))
@settings(max_examples=400, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_many_more_of_them(seed: int, unit_bytes: int | None) -> None:
    check(seed, unit_bytes)
