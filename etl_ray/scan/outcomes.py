"""Rejected lines and the venue's error messages as columns of their tables, but for `segment`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_ray.scan.parsed import ErrorLine, Reject
from etl_ray.tables.schema import SYMBOL
from etl_ray.venues.rows import timestamps


def constant(value: str, count: int) -> pa.DictionaryArray:
    """Return a dictionary<int32, string> array of one value."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value], pa.string()))


def named(codes: npt.NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    """Return names[codes] as dictionary<int32, string> of the names that occur."""
    found, position = np.unique(codes, return_inverse=True)
    words = [names[code] for code in found]
    return pa.DictionaryArray.from_arrays(pa.array(position.astype(np.int32)), pa.array(words, pa.string()))


def error_columns(errors: tuple[ErrorLine, ...], date: str) -> dict[str, pa.Array]:
    """Return the columns of `errors`."""
    return {
        "date": constant(date, len(errors)),
        "ts_capture": timestamps(np.array([error.ts_capture for error in errors], np.int64)),
        "message": pa.array([error.message for error in errors], pa.string()),
        "line": pa.array([error.line for error in errors], pa.int64()),
    }


def reject_columns(rejects: tuple[Reject, ...], date: str) -> dict[str, pa.Array]:
    """Return the columns of `rejects`."""
    return {
        "date": constant(date, len(rejects)),
        "line": pa.array([reject.line for reject in rejects], pa.int64()),
        "byte_offset": pa.array([reject.byte_offset for reject in rejects], pa.int64()),
        "length": pa.array([reject.length for reject in rejects], pa.int64()),
        "sha256": pa.array([reject.sha256 for reject in rejects], pa.string()),
        "channel": pa.array([reject.channel for reject in rejects], pa.string()).cast(SYMBOL),
        "reason": pa.array([reject.reason for reject in rejects], pa.string()),
        "raw": pa.array([reject.raw for reject in rejects], pa.binary()),
    }
