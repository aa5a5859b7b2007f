"""One run at a time on a local OUTPUT. On buckets the manifest's put-if-absent decides who commits."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from etl_ray import storage
from etl_ray.errors import LockedError
from etl_ray.storage.failures import reporting


@contextmanager
def exclusive(own: str) -> Iterator[None]:
    """Hold the lock of OUTPUT, whose own directory is `own`; LockedError if another process holds it.

    The system releases it when the process ends, however it ends.
    """
    if not storage.is_local(own):
        yield
        return
    path = storage.local_path(own) / "lock"
    with ExitStack() as held:
        with reporting("lock", str(path)):
            file = held.enter_context(path.open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found = f"another run is writing to {path.parent.parent}; wait until it has ended"
                raise LockedError(found) from None
        yield
