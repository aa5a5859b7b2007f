"""One run at a time on an OUTPUT in a bucket: a lease that its holder renews, and that expires when nobody does.

Leases are numbered, `lease/NNNNNN.json` in OUTPUT's own directory; the highest number holds, the others count for
nothing and are deleted by its holder. A number is created by put-if-absent and written to by its holder alone. So of
two that take over the same lease, one gets the next number, and a holder that writes late touches nobody else's. A
lease that is given back stays, marked so: numbers only grow.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from etl_ray import storage
from etl_ray.errors import ConfigError, LockedError, NotFoundError, StorageError
from etl_ray.orchestrators.messages import from_json, to_json

_FOLDER = "lease"


def _elapsed_s() -> float:
    # Unlike time.monotonic, goes on while the machine sleeps; steps of the wall clock change neither.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True)
class Pace:
    """How often a lease is renewed and looked at, and the clock for it; all in seconds.

    A lease that others have not seen change for `expire_s` is theirs; its holder stops `margin_s` earlier. While a
    taker waits it looks every `look_s`; a holder looks at most every `check_s`.
    """

    renew_s: float = 20.0
    expire_s: float = 60.0
    margin_s: float = 10.0
    look_s: float = 2.0
    check_s: float = 1.0
    clock: Callable[[], float] = _elapsed_s
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Lease:
    """Who holds OUTPUT: a random id, and for people where the run is and since when; `counter` counts renewals."""

    holder: str
    host: str
    pid: int
    since: str
    counter: int = 0
    released: bool = False

    def __str__(self) -> str:
        return f"the run on {self.host}, process {self.pid}, since {self.since}"


def _own_lease() -> Lease:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Lease(secrets.token_hex(16), socket.gethostname(), os.getpid(), since)


class Leases:
    """The leases of an OUTPUT, whose own directory is `own`."""

    def __init__(self, own: str) -> None:
        self.output = storage.redact(own).rpartition("/")[0]
        self._own = own

    def url(self, number: int) -> str:
        """Return where a lease is."""
        return storage.join(self._own, _FOLDER, f"{number:06d}.json")

    def numbers(self) -> list[int]:
        """Return the numbers that are there, ascending."""
        try:
            found = storage.list_files(storage.join(self._own, _FOLDER))
        except ConfigError:  # nothing at all
            return []
        names = (info.url.rpartition("/")[2].removesuffix(".json") for info in found)
        return sorted(int(name) for name in names if name.isdecimal())

    def latest(self) -> tuple[int, Lease] | None:
        """Return the lease that counts; None if there was never one."""
        numbers = self.numbers()
        if not numbers:
            return None
        url = self.url(numbers[-1])
        try:
            return numbers[-1], from_json(Lease, storage.read_bytes(url), f"the lease {storage.redact(url)}")
        except NotFoundError:  # deleted since
            return self.latest()

    def take(self, *, break_lock: bool, note: Callable[[str], None], pace: Pace) -> HeldLease:
        """Take the lease if nobody holds it, or if its holder lets it expire; LockedError if somebody does.

        `break_lock`: in any case, and at once.
        """
        number = 1 + (self._newest(note) if break_lock else self._outwaited(note, pace))
        lease = _own_lease()
        data = to_json(lease)
        started_s = pace.clock()
        # A lost answer may have created it.
        if not storage.create_new(self.url(number), data) and storage.read_bytes(self.url(number)) != data:
            raise self._too_late()
        *others, highest = self.numbers() or [0]
        if highest != number:  # others came and went between our look and our step
            storage.delete(self.url(number))
            raise self._too_late()
        for old in others:
            storage.delete(self.url(old))
        return HeldLease(self, number, lease, renewed_s=started_s, pace=pace)

    def _too_late(self) -> LockedError:
        return LockedError(f"another run was faster to take {self.output}; wait until it has ended")

    def _newest(self, note: Callable[[str], None]) -> int:
        """Return the highest number, 0 if there is none, whatever is in it."""
        numbers = self.numbers()
        with suppress(StorageError):  # a damaged lease can be broken as well
            found = self.latest()
            if found is not None and not found[1].released:
                note(f"taking {self.output} from {found[1]}")
        return numbers[-1] if numbers else 0

    def _outwaited(self, note: Callable[[str], None], pace: Pace) -> int:
        """Return the number of a lease that nobody holds, 0 if there is none; LockedError if the run of it is alive.

        Only what changes before our own eyes and by our own clock tells the living from the dead: no two machines, and
        not every storage, have clocks that agree, and a lease that is taken too early does more harm than a minute.
        """
        first = found = self.latest()
        seen_s = looked_s = pace.clock()
        if found is not None and not found[1].released:
            note(f"{self.output} is held by {found[1]}; looking for up to {pace.expire_s:.0f} s whether it is alive")
        while found is not None and not found[1].released and looked_s - seen_s < pace.expire_s:
            pace.sleep(pace.look_s)
            looked_s = pace.clock()  # before the look, which may take long
            found = self.latest()
            if found is not None and not found[1].released and found != first:
                raise LockedError(
                    f"another run is writing to {self.output}: {found[1]}; wait until it has ended, or take over "
                    "with --break-lock if it must not go on"
                )
        return found[0] if found is not None else 0


class HeldLease:
    """A lease that this process holds, until it is lost or given back."""

    def __init__(self, leases: Leases, number: int, lease: Lease, *, renewed_s: float, pace: Pace) -> None:
        self._leases = leases
        self._number = number
        self._lease = lease
        self._pace = pace
        self._renewed_s = renewed_s
        self._checked_s = renewed_s
        self._lost: str | None = None
        self._failure = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def start(self) -> None:
        """Renew the lease from here on, in a thread."""
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease is still held; LockedError if it is not, from then on each time.

        What is seen in the storage is believed for a second.
        """
        self._check_age()
        now_s = self._pace.clock()
        overdue = now_s - self._renewed_s > 1.5 * self._pace.renew_s
        if overdue or now_s - self._checked_s >= self._pace.check_s:
            self._look()
            self._checked_s = now_s
        self._check_age()  # looking may have taken long

    def renew(self) -> None:
        """Renew the lease; LockedError if it is lost, StorageError if it cannot be renewed now."""
        with self._lock:
            self._check_age()
            self._look()
            started_s = self._pace.clock()
            renewed = replace(self._lease, counter=self._lease.counter + 1)
            storage.write_bytes(self._leases.url(self._number), to_json(renewed))
            # Others begin to wait after the write, so counting from before it errs on the safe side.
            self._lease, self._renewed_s = renewed, started_s

    def release(self) -> None:
        """Stop renewing, and give the lease back if it is still held; a storage that fails lets it expire."""
        self._stop.set()
        if not self._lock.acquire(timeout=self._pace.renew_s):  # the storage hangs
            return
        try:
            with suppress(LockedError, StorageError):
                self._check_age()
                self._look()
                storage.write_bytes(self._leases.url(self._number), to_json(replace(self._lease, released=True)))
                self._lose("it was given back")
        finally:
            self._lock.release()

    def _keep(self) -> None:
        wait_s = self._pace.renew_s
        while not self._stop.wait(wait_s):
            try:
                self.renew()
                wait_s = self._pace.renew_s
            except StorageError as error:
                self._failure = f"; the last attempt to renew it: {error}"
                wait_s = self._pace.renew_s / 4
            except LockedError:
                return

    def _check_age(self) -> None:
        age_s = self._pace.clock() - self._renewed_s
        if self._lost is None and age_s > self._pace.expire_s - self._pace.margin_s:
            self._lose(f"the lock was last renewed {age_s:.0f} s ago{self._failure}")
        if self._lost is not None:
            raise LockedError(f"this run no longer holds {self._leases.output}: {self._lost}. It stops")

    def _look(self) -> None:
        numbers = self._leases.numbers()
        if not numbers or numbers[-1] < self._number:
            self._lose("the lock was deleted")
        elif numbers[-1] > self._number:
            self._lose(self._successor())
        self._check_age()

    def _successor(self) -> str:
        try:
            latest = self._leases.latest()
        except StorageError:
            latest = None
        return f"it was taken by {latest[1]}" if latest is not None else "it was taken by another run"

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or reason
