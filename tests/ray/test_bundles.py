"""What crosses Ray: bundles of items, and errors as data. None of it needs a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_ray.config import JobConfig
from etl_ray.errors import (
    ClusterError,
    ConfigError,
    EtlRayError,
    LockedError,
    NotFoundError,
    SchemaError,
    SegmentError,
    StorageError,
    WrongInputError,
)
from etl_ray.orchestrators import ray_engine
from etl_ray.orchestrators.bundles import Bundle, bundled, unit_bytes
from etl_ray.orchestrators.ray_engine import describe_error, do_bundle, restore_error
from etl_ray.readers.segments import Segment, Unit

S = 10.0  # of what a bundle holds


def items_of(seconds: Sequence[float]) -> list[tuple[bytes, int]]:
    """Return items of the stage `build` that take so long."""
    return [(b"%d" % index, round((item_s - 0.01) * 220e6)) for index, item_s in enumerate(seconds)]


def seconds_of(bundles: Sequence[Bundle], seconds: Sequence[float]) -> list[list[float]]:
    return [[seconds[int(item)] for item in bundle.items] for bundle in bundles]


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        ([], 4, []),
        ([0.05], 4, [[0.05]]),
        ([0.01, 0.01, 0.01], 4, [[0.01, 0.01, 0.01]]),  # not worth more than one task
        ([0.1] * 8, 2, [[0.1] * 3, [0.1] * 3, [0.1] * 2]),  # enough for both, but none too short
        ([1] * 8, 1, [[1, 1]] * 4),
        ([1] * 8, 2, [[1]] * 8),
        ([4, 1, 1, 1, 1, 4], 1, [[4], [1, 1, 1], [1, 4]]),
        ([100] * 3, 1, [[100]] * 3),
        ([5] * 40, 1, [[5, 5]] * 20),  # more slots than there are now find work
        ([1, 30, 2, 2], 1, [[1, 30], [2, 2]]),
        ([1, 1, 30], 100, [[30], [1], [1]]),  # what takes longest begins first
    ],
)
def test_bundles_are_of_about_equal_length(seconds: list[float], slots: int, expected: list[list[float]]) -> None:
    found = bundled("build", items_of(seconds), slots=slots)
    assert sorted(seconds_of(found, seconds)) == sorted(expected)
    lengths = [bundle.seconds for bundle in found]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths == pytest.approx([sum(part) for part in seconds_of(found, seconds)])


@given(st.lists(st.floats(0.01, 30.0), max_size=200), st.integers(1, 64))
def test_every_item_is_in_one_bundle_beside_its_neighbours(seconds: list[float], slots: int) -> None:
    items = items_of(seconds)
    bundles = sorted(bundled("build", items, slots=slots), key=lambda bundle: bundle.first)
    assert [item for bundle in bundles for item in bundle.items] == [item for item, _ in items]
    assert [bundle.first for bundle in bundles] == [int(bundle.items[0]) for bundle in bundles]
    target = min(S, max(0.3, sum(seconds) / (4 * slots)))
    # A bundle is closed by the item with which it reaches its length.
    for part in seconds_of(bundles, seconds):
        assert sum(part[:-1]) < target + 1e-6
    for part in seconds_of(bundles, seconds)[:-1]:
        assert sum(part) >= target - 1e-6


@pytest.mark.parametrize(
    ("name", "expected"),
    [("s.ndjson", 1_000), ("s.ndjson.gz", 12_000), ("S.NDJSON.ZST", 20_000), ("gs://b/s.gz/s.ndjson", 1_000)],
)
def test_the_weight_of_a_unit_is_what_it_has_when_unpacked(name: str, expected: int) -> None:
    segment = Segment("s", name, 1_000, "v")
    assert unit_bytes(Unit(segment, 0, None)) == expected
    assert unit_bytes(Unit(segment, 100, 350)) == expected // 4


def raising(error: Exception) -> Callable[..., bytes]:
    def work(_stage: str, _options: bytes, item: bytes) -> bytes:
        if item == b"bad":
            raise error
        return b"did " + item

    return work


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("what was wrong"),
        SegmentError("gs://b/s.gz", 12_345, "cut"),
        SchemaError("a, b"),
        StorageError("cannot write"),
        NotFoundError("cannot read"),
        WrongInputError("half"),
        ClusterError("no room"),
        LockedError("held"),
        EtlRayError(),
    ],
)
def test_known_errors_come_back_as_themselves(error: EtlRayError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "work", raising(error))
    batch = pa.table({"index": [3, 7], "items": pa.array([[b"a", b"bad"], [b"c"]])})
    tables = list(do_bundle(batch, stage="build", options=b""))
    assert len({table.schema for table in tables}) == 1
    found = pa.concat_tables(tables).to_pylist()
    assert [(row["index"], row["result"]) for row in found] == [(3, b"did a"), (4, None), (7, b"did c")]
    assert [row["error"] is None for row in found] == [True, False, True]
    restored = restore_error(found[1]["error"])
    assert type(restored) is type(error)
    assert restored.args == error.args
    assert str(restored) == str(error)
    assert pickle.loads(pickle.dumps(restored)).args == error.args


def test_a_private_error_comes_back_as_the_public_one_that_it_is() -> None:
    with pytest.raises(ConfigError) as raised:
        JobConfig.model_validate({"numbers": "float32", "engine": 7})
    assert type(raised.value) is not ConfigError
    restored = restore_error(describe_error(raised.value))
    assert type(restored) is ConfigError
    assert str(restored) == str(raised.value)


def test_a_defect_is_not_turned_into_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "work", raising(ZeroDivisionError("a defect")))
    done = do_bundle(pa.table({"index": [0], "items": pa.array([[b"a", b"bad"]])}), stage="build", options=b"")
    assert next(done)["result"].to_pylist() == [b"did a"]
    with pytest.raises(ZeroDivisionError, match="a defect"):
        next(done)
