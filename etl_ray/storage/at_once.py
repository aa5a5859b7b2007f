"""Many small files: in buckets, where one waits for every answer, several requests are made at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from etl_ray.urls import is_local

Item = TypeVar("Item")
Result = TypeVar("Result")

REQUESTS_AT_ONCE = 16
_CHECKED_TOGETHER = 64


def each(urls: Sequence[str], act: Callable[[str], None], check: Callable[[], None]) -> None:
    """Do something to each file; `check` is asked before that, in buckets before every few, and raises if it must end.

    The order is that of `urls` on disks, and any in buckets. The first failure is raised when those that had begun
    are done.
    """
    if all(is_local(url) for url in urls):
        for url in urls:
            check()
            act(url)
        return
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for begin in range(0, len(urls), _CHECKED_TOGETHER):
            check()
            for _ in pool.map(act, urls[begin : begin + _CHECKED_TOGETHER]):
                pass


def map_ahead(
    root: str, act: Callable[[Item], Result], items: Iterable[Item], *, at_once: int = REQUESTS_AT_ONCE
) -> Iterator[Result]:
    """Yield what `act` returns for each item, in order; a failure is raised when it is its turn.

    Where files are in a bucket, that of `root`, up to `at_once` items are worked on at the same time, in threads.
    """
    if is_local(root):
        yield from map(act, items)
        return
    remaining = iter(items)
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                ahead.extend(pool.submit(act, item) for item in islice(remaining, at_once - len(ahead)))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
