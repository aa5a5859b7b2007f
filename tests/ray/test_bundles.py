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
from etl_ray.orchestrators.ray_engine import bundle, describe_error, do_bundle, restore_error

GB = 1_000_000_000


def items_of(weights: Sequence[int]) -> list[tuple[bytes, int]]:
    return [(b"%d" % index, weight) for index, weight in enumerate(weights)]


def weights_of(bundles: list[tuple[int, list[bytes]]], weights: Sequence[int]) -> list[list[int]]:
    return [[weights[int(item)] for item in items] for _, items in bundles]


@pytest.mark.parametrize(
    ("weights", "slots", "expected"),
    [
        ([], 4, []),
        ([5], 4, [[5]]),
        ([0, 0, 0], 4, [[0, 0, 0]]),
        ([10] * 8, 1, [[10, 10], [10, 10], [10, 10], [10, 10]]),
        ([10] * 8, 2, [[10]] * 8),
        ([10] * 8, 100, [[10]] * 8),
        ([40, 1, 1, 1, 1, 36], 1, [[40], [1, 1, 1, 1, 36]]),
        ([100, 0, 100, 0], 1, [[100], [0, 100], [0]]),
        ([3 * GB, 3 * GB], 1, [[3 * GB], [3 * GB]]),
        ([GB // 2] * 12, 1, [[GB // 2] * 2] * 6),
    ],
)
def test_bundles_are_of_about_equal_weight(weights: list[int], slots: int, expected: list[list[int]]) -> None:
    assert weights_of(bundle(items_of(weights), slots=slots), weights) == expected


@given(st.lists(st.integers(0, 4 * GB), max_size=200), st.integers(1, 64))
def test_every_item_is_in_one_bundle_in_order(weights: list[int], slots: int) -> None:
    bundles = bundle(items_of(weights), slots=slots)
    assert [item for _, items in bundles for item in items] == [item for item, _ in items_of(weights)]
    assert [index for index, _ in bundles] == [int(items[0]) for _, items in bundles]
    target = max(1, min(GB, sum(weights) // (4 * slots)))
    # A bundle is closed by the item with which it reaches its weight.
    for found in weights_of(bundles, weights):
        assert sum(found[:-1]) < target
    for found in weights_of(bundles, weights)[:-1]:
        assert sum(found) >= target


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
