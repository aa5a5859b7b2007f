"""The books that a worker keeps from shard to shard are only a cache: the bytes are the same without."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from etl_ray.orchestrators import engines, work
from etl_ray.orchestrators.book_build import WarmBooks
from etl_ray.orchestrators.work import Stage
from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import run
from tests.orchestrators.outputs import table_files_of

SAMPLE = SampleOptions(
    minutes=0.4, products=("BTC-USD", "ETH-USD"), rate=10, levels=40, segment_mb=0.1, start="2025-11-26T23:59:48Z"
)
MANY_SHARDS = {"unit_mb": 0.05, "block_mb": 0.02, "rows_per_file": 300}


@pytest.fixture(params=["message", "250ms"])
def emit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording")
    write_sample(str(directory), SAMPLE)
    return directory


def books(recording: Path, output: Path, emit: str) -> dict[str, bytes]:
    """Run the job; return its files."""
    level2 = {"processor_options": {"emit": emit}}
    run(recording, output, staging=MANY_SHARDS, channels={"level2": level2})
    return table_files_of(output)


def test_warm_and_cold_books_give_the_same_bytes(
    recording: Path, tmp_path: Path, emit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[str, int]] = []
    streams_of = WarmBooks.streams_of

    def counted(self: WarmBooks, shard: object, staging: str) -> object:
        before = dict(self.streams)
        found = streams_of(self, shard, staging)  # type: ignore[arg-type]
        loaded.append((emit, sum(stream is before.get(number) for number, stream in found.items())))
        return found

    monkeypatch.setattr(WarmBooks, "streams_of", counted)
    warm = books(recording, tmp_path / "warm", emit)
    assert sum(kept for _, kept in loaded) > 10
    loaded.clear()
    monkeypatch.setattr(WarmBooks, "keep", lambda *_: None)
    monkeypatch.setattr(work, "_WARM", WarmBooks())
    cold = books(recording, tmp_path / "cold", emit)
    assert sum(kept for _, kept in loaded) == 0
    assert warm == cold
    assert len([name for name in warm if name.startswith("book/")]) > 10


def test_shards_in_any_order_give_the_same_bytes(
    recording: Path, tmp_path: Path, emit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = books(recording, tmp_path / "in_order", emit)
    done = engines.work

    def shuffled(
        _: object, stage: Stage, options: bytes, items: Sequence[tuple[bytes, int]]
    ) -> Iterator[tuple[int, bytes]]:
        order = list(range(len(items)))
        random.Random(5).shuffle(order)
        return ((index, done(stage, options, items[index][0])) for index in order)

    monkeypatch.setattr(engines.LocalEngine, "run", shuffled)
    assert books(recording, tmp_path / "shuffled", emit) == in_order
