"""pyarrow: `json.read_json` with a schema of its own, lists flattened, strings cast."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tests.benchmarks.parse_sides.arrow_files import store
from tests.benchmarks.sides.pyarrow_json import tables

__all__ = ["parse", "store"]


def parse(segments: Sequence[str]) -> dict[str, pa.Table]:
    """Return the columns of each table."""
    found = [tables(segment) for segment in segments]
    return {name: pa.concat_tables([parts[name] for parts in found]) for name in found[0]}
