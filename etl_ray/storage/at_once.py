"""Many small files: in buckets, where one waits for every answer, several requests are made at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from typing import BinaryIO

from etl_ray.urls import is_local

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


def read_ahead(
    urls: Iterable[str], opened: Callable[[str], BinaryIO], fetched: Callable[[str], bytes]
) -> Iterator[BinaryIO]:
    """Yield small files one after the other, each of which is closed when the next is asked for.

    On disks they are `opened` when it is their turn, of buckets some are `fetched` ahead. A failure is raised then.
    """
    remaining = iter(urls)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:  # which starts threads only if something is asked of it
        ahead: deque[Future[bytes] | str] = deque()
        try:
            while True:
                for url in islice(remaining, REQUESTS_AT_ONCE - len(ahead)):
                    ahead.append(url if is_local(url) else pool.submit(fetched, url))
                if not ahead:
                    return
                first = ahead.popleft()
                with opened(first) if isinstance(first, str) else BytesIO(first.result()) as file:
                    yield file
        finally:
            for future in ahead:
                if isinstance(future, Future):
                    future.cancel()
