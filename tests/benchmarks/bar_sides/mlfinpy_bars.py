"""mlfinpy: bars by quantity and notional of a pandas frame, sums as floats, the taker's side by a tick rule.

It needs an environment of its own, since it pins an older NumPy. Making its frame is not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from mlfinpy.data_structure.standard_bars import get_dollar_bars, get_volume_bars

from tests.benchmarks.bar_sides import CHECKED


def prepare(path: Path, bar: str) -> Callable[[], dict[str, np.ndarray]]:
    """Return what makes bars by quantity or notional."""
    kind, size = bar.split(":")
    make = {"volume": get_volume_bars, "dollar": get_dollar_bars}[kind]
    stored = np.load(path.with_suffix(".npz"))
    frame = pd.DataFrame({name: stored[name] for name in ("ts_event", "price", "size")})

    def run() -> dict[str, np.ndarray]:
        made = make(frame, threshold=float(size), verbose=False)
        made = made.rename(columns={"cum_dollar_value": "quote_volume", "cum_ticks": "trades"})
        return {name: made[name].to_numpy() for name in CHECKED if name in made.columns}

    return run
