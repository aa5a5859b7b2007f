"""The compiled loop that closes bars by quantity or notional."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def close_bars(amounts, restarts, size, begins, reached):
    """Mark in `begins` the first trade of each bar, and in `reached` each trade with which a bar has its size."""
    total = size - size
    closed = True
    for i in range(len(amounts)):
        if closed or restarts[i]:
            begins[i] = True
            total = amounts[i]
        else:
            total += amounts[i]
        closed = total >= size
        reached[i] = closed
