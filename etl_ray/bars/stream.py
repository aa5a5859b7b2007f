"""Bars of a stream of trades, as soon as they have ended."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl_ray.bars.build import BEGINNING_NS, bars, rows
from etl_ray.bars.cuts import Carried, cut_by_size
from etl_ray.bars.spec import BarOptions, BarSpec
from etl_ray.bars.tape import Tape


class BarStream:
    """Turns trades of one product, in order, into the bars that `bars` makes of all of them together.

    ts_event has to be Int64. Holds the trades of the bar that has not ended, and the one before it.
    """

    def __init__(self, spec: BarSpec, options: BarOptions) -> None:
        self._spec = spec
        self._options = options
        self._held: list[pl.DataFrame] = []
        self._done_ns = BEGINNING_NS
        self._carried = Carried()

    def push(self, trades: pl.DataFrame) -> pl.DataFrame | None:
        """Take the next trades; return the bars that are over now, None if there are none."""
        if not len(trades):
            return None
        self._held.append(trades)
        found = self._time_bars() if self._spec.kind == "time" else self._sized_bars()
        return None if found is None or not len(found) else found

    def _time_bars(self) -> pl.DataFrame | None:
        length_ns = int(self._spec.size)
        until_ns = int(self._held[-1]["ts_event"][-1]) // length_ns * length_ns
        if until_ns <= self._done_ns:
            return None
        tape = self._tape()
        found = bars(tape, self._spec, self._options, first_ns=self._done_ns, end_ns=until_ns)
        self._keep(int(np.searchsorted(tape.ts_event, until_ns)) - 1)
        self._done_ns = until_ns
        return found

    def _sized_bars(self) -> pl.DataFrame:
        tape = self._tape()
        cuts = cut_by_size(tape, self._spec, self._options.reset, self._carried)
        found = rows(tape, cuts, self._spec, self._options)
        n_done = int(cuts.edges[-1])
        available = int(cuts.ts_available[-1]) if len(cuts) else self._carried.ts_available
        self._carried = Carried(min(n_done, 1), available)
        self._keep(n_done - 1)
        return found

    def _tape(self) -> Tape:
        self._held = [pl.concat(self._held)]
        return Tape.of(self._held[0])

    def _keep(self, start: int) -> None:
        self._held = [self._held[0][max(0, start) :]]
