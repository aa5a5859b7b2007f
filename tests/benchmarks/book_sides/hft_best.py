"""hftbacktest with its depth in a vector, the best level alone: no ten levels."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.book_sides import hft

prepare = partial(hft.prepare, kind="best")
