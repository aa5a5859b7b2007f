"""The compiled tracker of connections against the plain rule, whatever stretches it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.scan import ConnectionTracker, connections
from etl_ray.venues.rows import NULL
from tests.scan.rule import Numbered, Rule

MANY = settings(max_examples=300, deadline=None)


@dataclass(frozen=True)
class Told:
    """The connection of each message, and how many holes and missing messages there are."""

    ids: list[str | None]
    holes: int
    missing: int


def by_rule(messages: Sequence[Numbered], max_open_runs: int = 1024) -> Told:
    rule = Rule(max_open_runs)
    ids = [rule.assign(message, f"s:{line}") for line, message in enumerate(messages, start=1)]
    return Told(ids, rule.holes, rule.missing)


def by_tracker(messages: Sequence[Numbered], cuts: Sequence[int] = ()) -> Told:
    """Return the same from the tracker, which is given stretches that end before `cuts`."""
    tracker = ConnectionTracker()
    found: list[int] = []
    for start, end in pairwise(sorted({0, *cuts, len(messages)})):
        stretch = messages[start:end]
        numbers = np.array([NULL if one.number is None else one.number for one in stretch], np.int64)
        # Each stretch numbers its products as it likes, and may know more of them than it has.
        symbols = sorted({one.product for one in stretch if one.product is not None} | {"not seen"})[:: (-1) ** start]
        products = np.array([-1 if one.product is None else symbols.index(one.product) for one in stretch], np.int32)
        found += tracker.assign(
            numbers,
            products,
            np.full(len(stretch), NULL, np.int64),
            symbols,
            lambda index, start=start: f"s:{start + index + 1}",
        ).tolist()  # type: ignore[misc]
    assert len(set(tracker.ids)) == len(tracker.ids)
    return Told([None if index < 0 else tracker.ids[index] for index in found], tracker.holes, tracker.missing)


def numbered(*messages: tuple[int | None, str | None] | int) -> list[Numbered]:
    return [Numbered(one, None) if isinstance(one, int) else Numbered(*one) for one in messages]


@pytest.mark.parametrize(
    ("messages", "ids"),
    [
        (numbered(0, 1, 2), "1 1 1"),
        (numbered(5, 6), "1 1"),  # the recording begins within a connection
        (numbered(0, 1, 0, 1, 2), "1 1 3 3 3"),  # a tie without product: the most recently extended
        (numbered((0, "A"), (0, "B"), (1, "A"), (1, "B"), (2, "B"), (2, "A")), "1 2 1 2 2 1"),
        (numbered((0, "A"), (0, "B"), (1, "C")), "1 2 2"),  # nobody has C: the most recently extended
        (numbered((0, "A"), (0, "B"), (1, "A"), (1, "A")), "1 2 1 2"),  # A's latest message is not at 0 any more
        (numbered((0, "A"), (5, "A")), "1 1"),  # a hole
        (numbered((0, "A"), (5, "B")), "1 2"),  # nobody before the hole has B
        (numbered((0, "A"), (0, "B"), (5, "A"), (6, "B")), "1 2 1 1"),
        (numbered((0, "A"), (3, "B"), 7, (5, "A")), "1 2 2 1"),  # without product: the greatest number below
        (numbered((3, "A"), (3, "B"), 7), "1 2 2"),  # ties to the most recently extended
        (numbered((7, "A"), (3, "A")), "1 2"),  # not below
        (numbered((0, "A"), (5, "A"), (1, "A"), (6, "B"), (2, "B")), "1 1 1 1 1"),  # an open run before the hole
        (numbered((0, "A"), (None, None), 1), "1 - 1"),
        (numbered((0, "A"), (0, "A"), (0, "A")), "1 2 3"),
        (numbered(2**63 - 1, 0), "1 2"),
    ],
)
def test_rule(messages: list[Numbered], ids: str) -> None:
    expected = [None if one == "-" else f"s:{one}" for one in ids.split(" ")]
    assert by_rule(messages).ids == expected
    for cuts in ([], range(len(messages))):
        assert by_tracker(messages, cuts).ids == expected


def test_counts_of_holes() -> None:
    messages = numbered((0, "A"), (5, "A"), (0, "B"), 9, (7, "C"))
    told = by_tracker(messages)
    assert (told.holes, told.missing) == (2, 7)
    assert told == by_rule(messages)


@dataclass(frozen=True)
class Step:
    """A message of one of a few connections, whose counter first moves by `move`; None sets it to 0."""

    connection: int
    move: int | None
    product: str | None
    cut: bool
    """Whether a stretch ends before the message."""


STEPS = st.lists(
    st.builds(
        Step,
        connection=st.integers(0, 2),
        move=st.sampled_from((0, 0, 0, 0, 0, 0, 1, 2, -1, None)),
        product=st.sampled_from(("A", "B", "C", "D", None)),
        cut=st.sampled_from((False, False, True)),
    ),
    min_size=1,
    max_size=30,
)


def walk(steps: list[Step]) -> list[Numbered]:
    counters = [3, 3, 4]
    messages = []
    for step in steps:
        counter = 0 if step.move is None else max(0, counters[step.connection] + step.move)
        messages.append(Numbered(counter, step.product))
        counters[step.connection] = counter + 1
    return messages


def cuts_of(steps: list[Step]) -> list[int]:
    return [index for index, step in enumerate(steps) if step.cut]


@MANY
@given(steps=STEPS)
def test_any_messages_however_cut(steps: list[Step]) -> None:
    messages = walk(steps)
    assert by_tracker(messages, cuts_of(steps)) == by_rule(messages)


@MANY
@given(steps=STEPS, limit=st.integers(1, 4))
def test_any_messages_with_few_open_runs(steps: list[Step], limit: int) -> None:
    messages = walk(steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "MAX_OPEN_RUNS", limit)
        assert by_tracker(messages, cuts_of(steps)) == by_rule(messages, limit)


@dataclass(frozen=True)
class Recording:
    """How a recording is made up; shares are of all messages."""

    products: tuple[str, ...]
    lost: float
    restarts: float
    silent: float  # without product
    unnumbered: float
    leap: int  # connections begin and stay within so many numbers of each other


def record(random: Random, made: Recording, count: int) -> list[Numbered]:
    """Return messages of interleaved connections; each carries the products of one of the strings."""
    numbers = [random.randrange(made.leap) for _ in made.products]
    messages = []
    while len(messages) < count:
        index = random.choice([index for index, number in enumerate(numbers) if number <= min(numbers) + made.leap])
        if random.random() < made.restarts:
            numbers[index] = 0
        if random.random() >= made.lost:
            product = None if random.random() < made.silent else random.choice(made.products[index])
            unnumbered = random.random() < made.unnumbered
            messages.append(Numbered(None, None) if unnumbered else Numbered(numbers[index], product))
        numbers[index] += random.choice((1, 1, 1, 1, 2)) if random.random() < made.lost else 1
    return messages


RECORDINGS = {
    "one connection": Recording(("ABC",), 0.02, 0.01, 0.2, 0.01, 50),
    "disjoint products": Recording(("AB", "CD", "EF", "GHIJ"), 0.02, 0.01, 0.0, 0.0, 5),
    "in lock-step": Recording(("ABC", "DEF"), 0.0, 0.0, 0.0, 0.0, 1),
    "silent": Recording(("AB", "CD", "EF"), 0.02, 0.01, 0.4, 0.01, 3),
    "redundant": Recording(("ABC", "ABC", "BCD"), 0.05, 0.02, 0.1, 0.0, 4),
    "lossy": Recording(("AB", "CD", "ACE"), 0.4, 0.05, 0.1, 0.0, 20),
}


def some_cuts(random: Random, count: int) -> Iterator[list[int]]:
    yield []
    yield list(range(count))
    for size in (1, 2, 5, 20, count // 3):
        yield [random.randrange(count) for _ in range(size)]


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_however_cut(name: str) -> None:
    for seed in range(25):
        random = Random(seed)
        messages = record(random, RECORDINGS[name], 300)
        expected = by_rule(messages)
        for cuts in some_cuts(random, len(messages)):
            assert by_tracker(messages, cuts) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_many_recordings_however_cut(name: str) -> None:
    for seed in range(1000, 1400):
        random = Random(seed)
        messages = record(random, RECORDINGS[name], 400)
        expected = by_rule(messages)
        for cuts in some_cuts(random, len(messages)):
            assert by_tracker(messages, cuts) == expected


@pytest.mark.parametrize("offset", range(4))
def test_every_cut_of_connections_that_pass_each_other(offset: int) -> None:
    """No product is on both and each message names one: then nothing is mistaken, whoever is ahead."""
    steps = [0] * 6 + [1] * 6 + [0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1]
    numbers = [0, 0]
    messages = []
    for position, which in enumerate(steps):
        messages.append(Numbered(numbers[which], ("ABC", "XYZ")[which][(position + offset) % 3]))
        numbers[which] += 1
    truth = [("s:1", "s:7")[which] for which in steps]
    assert by_rule(messages).ids == truth
    for first in range(len(steps)):
        for second in range(first, len(steps)):
            assert by_tracker(messages, [first, second]).ids == truth


def test_more_connections_than_there_is_room_for_at_first() -> None:
    messages = [Numbered(0, f"P{index}") for index in range(100)] + [Numbered(1, f"P{index}") for index in range(100)]
    expected = by_rule(messages)
    assert expected.ids == 2 * [f"s:{line}" for line in range(1, 101)]
    for cuts in ([], [50], [100], [150], range(200)):
        assert by_tracker(messages, cuts) == expected


@pytest.mark.parametrize(("number", "connection"), [(11, "s:1026"), (21, "s:1")])
def test_more_runs_than_stay_open(number: int, connection: str) -> None:
    """Of 1,025 runs between holes the least recently extended, which ended with 10, is closed."""
    messages = [*(Numbered(10 * index, "A") for index in range(1, 1026)), Numbered(number)]
    expected = by_rule(messages)
    assert expected.ids[-1] == connection
    assert expected.holes == 1024
    for cuts in ([], [1], [500], [1024, 1025]):
        assert by_tracker(messages, cuts) == expected


def test_no_messages() -> None:
    assert by_tracker([], [0]) == Told([], 0, 0)
    assert by_tracker(numbered((None, None))) == Told([None], 0, 0)
