"""Compiling what follows a recording ahead of time: it takes a second once, and is kept on disk for later processes."""

from __future__ import annotations

from functools import cache

import numpy as np

from etl_ray.coverage import timeline
from etl_ray.coverage.timeline import Stretch, Timeline


def is_compiled() -> bool:
    """Return whether an earlier process has left the compiled loop on disk, of just this source."""
    return bool(timeline._follow._cache._cache_file._load_index())


@cache  # a process that runs several jobs has it from the first
def warm_up() -> None:
    """Compile everything that is compiled, or load it from disk."""
    one = np.ones(1, np.int64)
    small = np.zeros(1, np.int32)
    stretch = Stretch(
        number=one,
        connection=small,
        channel=np.zeros(1, np.int8),
        product=small,
        counter=one,
        ts=one,
        place=one,
        rejects=one,
        damages=0,
    )
    Timeline().follow(stretch, ("A",), ("s:1",))
