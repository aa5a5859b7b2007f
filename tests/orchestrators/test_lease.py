"""One run at a time on an OUTPUT in a bucket, whatever happens to its holder, the storage and the clocks."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from etl_ray import storage
from etl_ray.errors import LockedError, StorageError
from etl_ray.orchestrators import lease as lease_module
from etl_ray.orchestrators.lease import HeldLease, Lease, Leases, Pace
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.messages import from_json, to_json

OWN = "memory://leases/out/_etl_ray"
SOMEBODY = Lease("somebody", "host-a", 7, "2025-11-26 23:59:57 UTC")
HELD_BY = "the run on host-a, process 7, since 2025-11-26 23:59:57 UTC"


@pytest.fixture(autouse=True)
def _empty_bucket() -> Iterator[None]:
    storage.delete_tree("memory://leases")
    yield
    storage.delete_tree("memory://leases")


class Clock:
    """Seconds that pass only while somebody sleeps; `events` happen on the way."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.events: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        due = [event for event in self.events if event[0] <= self.now_s]
        self.events = [event for event in self.events if event not in due]
        for _, event in due:
            event()

    def pace(self) -> Pace:
        return Pace(clock=self, sleep=self.sleep)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(clock: Clock, *, break_lock: bool = False, notes: list[str] | None = None) -> HeldLease:
    notes = [] if notes is None else notes
    return Leases(OWN).take(break_lock=break_lock, note=notes.append, pace=clock.pace())


def put(number: int, lease: Lease) -> None:
    storage.write_bytes(Leases(OWN).url(number), to_json(lease))


def get(number: int) -> Lease:
    return from_json(Lease, storage.read_bytes(Leases(OWN).url(number)))


def refused(held: HeldLease) -> str:
    with pytest.raises(LockedError) as raised:
        held.check()
    return str(raised.value)


def test_a_lease_is_taken_renewed_and_given_back(clock: Clock) -> None:
    held = take(clock)
    taken = get(1)
    assert (len(taken.holder), taken.counter, taken.released) == (32, 0, False)
    for counter in (1, 2):
        clock.sleep(20)
        held.renew()
        held.check()
        assert get(1) == Lease(taken.holder, taken.host, taken.pid, taken.since, counter)
    held.release()
    assert get(1) == Lease(taken.holder, taken.host, taken.pid, taken.since, 2, released=True)
    assert refused(held) == "this run no longer holds memory://leases/out: it was given back. It stops"

    before_s = clock.now_s
    take(clock)
    assert Leases(OWN).numbers() == [2]
    assert get(2).holder != taken.holder
    assert clock.now_s == before_s


def test_a_run_that_shows_life_is_left_alone(clock: Clock) -> None:
    first = take(clock)
    clock.events = [(clock.now_s + 19, first.renew)]
    notes: list[str] = []

    with pytest.raises(LockedError) as raised:
        take(clock, notes=notes)

    held_by = str(get(1))
    assert notes == [f"memory://leases/out is held by {held_by}; looking for up to 60 s whether it is alive"]
    assert str(raised.value) == (
        f"another run is writing to memory://leases/out: {held_by}; wait until it has ended, or take over with "
        "--break-lock if it must not go on"
    )
    assert clock.now_s == 1020
    first.check()


def test_a_lease_that_nobody_renews_expires(clock: Clock) -> None:
    put(4, SOMEBODY)

    take(clock).check()

    assert clock.now_s == 1060
    assert Leases(OWN).numbers() == [5]


@pytest.mark.parametrize(
    "event", [lambda: put(4, Lease(**vars(SOMEBODY) | {"released": True})), lambda: storage.delete_tree(OWN)]
)
def test_a_lease_that_is_given_back_or_deleted_is_waited_for_no_longer(
    clock: Clock, event: Callable[[], object]
) -> None:
    put(4, SOMEBODY)
    clock.events = [(1005, event)]

    take(clock).check()

    assert clock.now_s == 1006


def test_another_taker_that_is_faster_is_left_alone(clock: Clock) -> None:
    put(4, SOMEBODY)
    other = Lease("other", "host-b", 8, "2025-11-27 00:00:00 UTC")
    clock.events = [(1030, lambda: put(5, other))]

    with pytest.raises(LockedError, match="the run on host-b, process 8, since 2025-11-27 00:00:00 UTC; wait"):
        take(clock)

    assert Leases(OWN).numbers() == [4, 5]


@pytest.mark.parametrize("released", [False, True])
def test_of_many_takers_one_wins(clock: Clock, released: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    put(4, Lease("gone", "host", 1, "then", released=released))
    takers = 8
    barrier = threading.Barrier(takers)
    create_new = storage.create_new

    def create_together(url: str, data: bytes) -> bool:
        barrier.wait()
        return create_new(url, data)

    monkeypatch.setattr(storage, "create_new", create_together)

    def attempt(_index: int) -> HeldLease | None:
        own_clock = Clock()
        try:
            return take(own_clock)
        except LockedError as error:
            assert str(error) == "another run was faster to take memory://leases/out; wait until it has ended"
            return None

    with ThreadPoolExecutor(takers) as pool:
        winners = [held for held in pool.map(attempt, range(takers)) if held is not None]

    assert len(winners) == 1
    winners[0].check()
    assert Leases(OWN).numbers() == [5]


def test_a_taker_that_comes_too_late_steps_back(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    put(4, SOMEBODY)
    create_new = storage.create_new

    def create_late(url: str, data: bytes) -> bool:
        put(6, Lease("other", "host", 1, "then"))  # number 5 has come and gone
        return create_new(url, data)

    monkeypatch.setattr(storage, "create_new", create_late)

    with pytest.raises(LockedError, match="another run was faster"):
        take(clock)
    assert Leases(OWN).numbers() == [4, 6]


def test_a_lost_answer_does_not_lose_the_lease(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    create_new = storage.create_new
    monkeypatch.setattr(storage, "create_new", lambda url, data: create_new(url, data) and create_new(url, data))

    take(clock).check()


def test_a_lease_is_broken_at_once_and_its_holder_finds_out(clock: Clock) -> None:
    first = take(clock)
    held_by = str(get(1))
    notes: list[str] = []

    second = take(clock, break_lock=True, notes=notes)

    assert clock.now_s == 1000
    assert notes == [f"taking memory://leases/out from {held_by}"]
    clock.sleep(1)
    assert refused(first) == f"this run no longer holds memory://leases/out: it was taken by {get(2)}. It stops"
    with pytest.raises(LockedError):
        first.renew()
    first.release()
    second.check()
    assert Leases(OWN).numbers() == [2]


def test_a_damaged_lease_is_told_and_can_be_broken(clock: Clock) -> None:
    storage.write_bytes(Leases(OWN).url(3), b"{")

    with pytest.raises(
        StorageError, match=r"the lease memory://leases/out/_etl_ray/lease/000003.json: expected a Lease"
    ):
        take(clock)
    take(clock, break_lock=True).check()


@pytest.mark.parametrize("taken", [False, True])
def test_a_holder_that_was_paused_has_lost_the_lease(clock: Clock, taken: bool) -> None:
    first = take(clock)
    clock.sleep(61)
    if taken:
        assert take(Clock()) is not None

    message = refused(first)

    assert message == "this run no longer holds memory://leases/out: the lock was last renewed 61 s ago. It stops"
    with pytest.raises(LockedError):
        first.renew()
    first.release()
    assert refused(first) == message
    assert (get(2 if taken else 1).counter, get(2 if taken else 1).released) == (0, False)


def test_a_holder_that_is_late_looks_before_it_goes_on(clock: Clock) -> None:
    first = take(clock)
    clock.sleep(49.5)
    first.check()
    take(clock, break_lock=True)
    assert "it was taken by the run on " in refused(first)


def test_a_holder_looks_once_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    numbers = Leases.numbers
    held = take(clock)
    monkeypatch.setattr(Leases, "numbers", lambda self: (looks.append(clock.now_s), numbers(self))[1])
    for _ in range(8):
        clock.sleep(0.25)
        held.check()

    assert looks == [1001, 1002]


def test_a_holder_stops_before_a_taker_may_begin(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    held = take(clock)
    write_bytes = storage.write_bytes

    def write_slowly(url: str, data: bytes) -> None:
        clock.now_s += 15
        write_bytes(url, data)
        clock.now_s += 15

    monkeypatch.setattr(storage, "write_bytes", write_slowly)
    clock.sleep(10)
    held.renew()  # begun at 1010, there at 1025, known at 1040
    clock.now_s = 1060
    held.check()
    clock.now_s = 1060.5
    assert "was last renewed 50 s ago" in refused(held)


def test_steps_of_the_wall_clock_change_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    held = take(clock)

    class Stepped(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Stepped:
            return cls(2035, 1, 1, tzinfo=tz)

    monkeypatch.setattr(lease_module, "datetime", Stepped)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    clock.events = [(1019, held.renew)]
    with pytest.raises(LockedError, match="another run is writing"):
        take(clock)
    held.check()
    assert get(1).counter == 1


def test_a_lease_that_is_deleted_is_lost(clock: Clock) -> None:
    held = take(clock)
    storage.delete(Leases(OWN).url(1))
    clock.sleep(1)

    assert refused(held) == "this run no longer holds memory://leases/out: the lock was deleted. It stops"
    held.release()
    assert Leases(OWN).numbers() == []


def test_a_storage_that_fails_for_a_while_is_borne(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    held = take(clock)

    def refuse(*_arguments: object) -> None:
        raise StorageError("cannot write: it is down")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_bytes", refuse)
        for _ in range(2):
            clock.sleep(20)
            with pytest.raises(StorageError, match="it is down"):
                held.renew()
            held.check()
    held.renew()
    clock.sleep(40)
    held.check()
    with monkeypatch.context() as patch:
        patch.setattr(Leases, "numbers", refuse)
        with pytest.raises(StorageError, match="it is down"):
            held.check()
        held.release()
    assert not get(1).released


class TestThread:
    """The thread that renews, with the clock of the machine."""

    def test_it_renews_and_stops(self) -> None:
        with exclusive(OWN, pace=Pace(renew_s=0.001)) as hold:
            while get(1).counter < 3:
                time.sleep(0.001)
            hold.check()
        released = get(1)
        assert released.released
        for thread in threading.enumerate():
            if thread.name == "lease":
                thread.join()
        assert get(1) == released

    def test_it_ends_with_the_lock(self) -> None:
        with exclusive(OWN, pace=Pace(renew_s=1_000_000)):
            (thread,) = [thread for thread in threading.enumerate() if thread.name == "lease"]
        thread.join(60)
        assert not thread.is_alive()

    def test_it_goes_on_after_failures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        failures = []
        write_bytes = storage.write_bytes

        def fail_thrice(url: str, data: bytes) -> None:
            if len(failures) < 3:
                failures.append(url)
                raise StorageError("cannot write: it is down")
            write_bytes(url, data)

        monkeypatch.setattr(storage, "write_bytes", fail_thrice)
        with exclusive(OWN, pace=Pace(renew_s=0.001)):
            while get(1).counter < 1:
                time.sleep(0.001)
        assert len(failures) == 3

    def test_a_lease_that_could_not_be_renewed_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        failed = threading.Event()

        def fail(*_arguments: object) -> None:
            failed.set()
            raise StorageError("cannot write: it is down")

        monkeypatch.setattr(storage, "write_bytes", fail)
        clock = Clock()
        with exclusive(OWN, pace=Pace(renew_s=0.001, clock=clock)) as hold:
            assert failed.wait(60)
            while not hold._failure:  # type: ignore[attr-defined]
                time.sleep(0.001)
            clock.now_s += 51
            with pytest.raises(LockedError) as raised:
                hold.check()
        assert str(raised.value) == (
            "this run no longer holds memory://leases/out: the lock was last renewed 51 s ago; the last attempt to "
            "renew it: cannot write: it is down. It stops"
        )


def test_the_lease_is_given_back_whatever_the_run_raises() -> None:
    for error in (ValueError("of the run"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, exclusive(OWN):
            raise error
        assert raised.value is error
    assert get(2).released


def test_credentials_are_not_told(clock: Clock) -> None:
    assert Leases("s3://me:pa55@name/out/_etl_ray").output == "s3://name/out"
