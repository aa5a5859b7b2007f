"""Runs over input that grows, with files merged behind each of them: still the rows of one run over everything."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

import etl_ray
from etl_ray.config import JobConfig
from etl_ray.errors import WrongInputError
from etl_ray.summary import RunSummary
from tests.orchestrators import test_incremental as incremental
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import assert_same_rows, strays_of
from tests.orchestrators.test_books_of_any_recording import CUTS, FEATURES, OPTIONS, STEP, Step
from tests.orchestrators.test_incremental import (
    EVERYTHING,
    HISTORIES,
    LONG_ENOUGH,
    MAX_SEGMENTS,
    RUNS,
    History,
    names,
    segments_of,
)

LOCAL = JobConfig(engine="local")


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(
    steps=st.lists(STEP, min_size=15, max_size=80),
    count=st.integers(2, MAX_SEGMENTS),
    histories=HISTORIES,
    in_order=st.booleans(),
    staging=CUTS,
    keep_days=st.sampled_from((0, 1, 2)),
    options=OPTIONS,
    everything=st.booleans(),
    target_mb=st.sampled_from((0.01, 0.03, 256)),
)
@pytest.mark.slow
def test_any_history_with_compactions_gives_the_rows_of_one_run(
    monkeypatch: pytest.MonkeyPatch,
    steps: list[Step],
    count: int,
    histories: list[History],
    in_order: bool,
    staging: dict[str, object],
    keep_days: int,
    options: dict[str, object],
    everything: bool,
    target_mb: float,
) -> None:
    options = {**FEATURES, **options}
    if everything:
        options |= {"emit": "message", "compute_features": True}
    if in_order:
        histories = sorted(histories, key=lambda history: history.whole)
    if keep_days < LONG_ENOUGH:  # what is gone could be needed again
        histories = [replace(history, gone=RUNS + 1) for history in histories]
    config: dict[str, object] = {
        "staging": {**staging, "keep_days": keep_days},
        "channels": {"level2": {"processor_options": options}},
        **(EVERYTHING if everything else {}),
    }
    merged: Counter[bool] = Counter()

    def run_and_compact(recording: Path, output: Path, **given: object) -> RunSummary:
        summary = run(recording, output, **given)
        merged[etl_ray.compact(str(output), target_mb=target_mb, config=LOCAL).unchanged] += 1
        assert etl_ray.compact(str(output), target_mb=target_mb, config=LOCAL).unchanged
        return summary

    monkeypatch.setattr(incremental, "run", run_and_compact)
    segments = segments_of(steps, count)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        fresh = root / "fresh"
        fresh.mkdir()
        for name, data in zip(names(len(segments)), segments, strict=True):
            (fresh / name).write_bytes(data)
        try:
            run(fresh, root / "expected", **config)
        except WrongInputError:
            reject()
        incremental.play(segments, histories, root, config)
        assert_same_rows(root / "output", root / "expected")
        assert etl_ray.verify(str(root / "output")).differences == ()
        assert strays_of(root / "output") == []
    event(f"{merged[False]} compactions that merged something")
