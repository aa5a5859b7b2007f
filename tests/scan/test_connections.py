"""The compiled tracker of connections against the plain rule, whatever stretches it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
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


def by_rule(messages: Sequence[Numbered], max_known: int = 1024) -> Told:
    rule = Rule(max_known)
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
            np.array([NULL if one.counter is None else one.counter for one in stretch], np.int64),
            symbols,
            lambda index, start=start: f"s:{start + index + 1}",
        ).tolist()  # type: ignore[misc]
    assert len(set(tracker.ids)) == len(tracker.ids)
    return Told([None if index < 0 else tracker.ids[index] for index in found], tracker.holes, tracker.missing)


def numbered(*messages: tuple[int | None, str | None] | int) -> list[Numbered]:
    return [Numbered(one, None) if isinstance(one, int) else Numbered(*one) for one in messages]


def often(product: str, first: int, times: int = 16) -> list[Numbered]:
    return [Numbered(number, product) for number in range(first, first + times)]


def beat(number: int, counter: int) -> Numbered:
    return Numbered(number, None, counter)


def told(messages: list[Numbered]) -> list[str | None]:
    """Return the ids of the last messages, however the messages are cut."""
    expected = by_rule(messages)
    for cuts in ([], range(len(messages))):
        assert by_tracker(messages, cuts) == expected
    return expected.ids


@pytest.mark.parametrize(
    ("messages", "ids"),
    [
        (numbered(0, 1, 2), "1 1 1"),
        (numbered(5, 6), "1 1"),  # the recording begins within a connection
        (numbered((0, "A"), (None, None), 1), "1 - 1"),
        (numbered((0, "A"), (0, "A"), (0, "A")), "1 2 3"),
        (numbered(2**63 - 1, 0), "1 2"),
        # Without product
        (numbered(0, 1, 0, 1, 2), "1 1 3 3 3"),  # continues both: the latest
        (numbered((0, "A"), (40, "B"), 7, 41), "1 2 1 2"),  # behind a hole: the highest below
        (numbered((3, "A"), (3, "B"), 7), "1 2 2"),  # of equal ones the latest
        (numbered(3, 3), "1 2"),  # none stands below
        ([beat(3, 7), beat(3, 2), beat(4, 8)], "1 2 1"),  # the heartbeat before
        ([beat(3, 7), Numbered(3), beat(3, 2), beat(4, 9)], "1 2 3 2"),  # none yet
        ([beat(3, 7), beat(3, 2), beat(4, 9)], "1 2 2"),  # neither: the latest
        ([beat(3, 7), beat(9, 8)], "1 1"),
        # A product without home
        (numbered((0, "A"), (0, "B"), (1, "C")), "1 2 2"),  # continues both: the latest
        (numbered((0, "A"), (0, "B"), (17, "C")), "1 2 2"),  # not far above: the highest below
        (numbered((0, "A"), (18, "B")), "1 2"),
        # A product with a home
        (numbered((0, "A"), (0, "B"), (1, "A"), (1, "B"), (2, "B"), (2, "A")), "1 2 1 2 2 1"),
        (numbered((0, "A"), (40, "B"), (41, "A")), "1 2 2"),  # not often enough at home to be strange
        (numbered((0, "A"), (5, "A")), "1 1"),  # behind a hole
        (numbered((0, "A"), (0, "B"), (5, "A"), (6, "B")), "1 2 1 1"),
        (numbered((7, "A"), (3, "A"), (8, "A")), "1 1 1"),  # late
        (numbered((40, "A"), (24, "A"), (7, "A")), "1 1 3"),  # too late
        (numbered((40, "A"), 0, (3, "A"), (4, "A")), "1 2 2 2"),  # opened since, highest below
        (numbered((40, "A"), 0, (0, "B"), (3, "C"), (3, "A"), (4, "A")), "1 2 3 3 2 2"),
    ],
)
def test_rule(messages: list[Numbered], ids: str) -> None:
    assert told(messages) == [None if one == "-" else f"s:{one}" for one in ids.split(" ")]


def test_hole_where_another_connection_goes_on() -> None:
    """A product that has often come home is strange to a connection which happens to stand one below."""
    messages = [*often("A", 10, 15), *numbered((60, "B"), (25, "A"), (61, "A"), (61, "B"), (62, "A"))]
    assert told(messages)[15:] == ["s:16", "s:1", "s:1", "s:16", "s:1"]
    assert told(messages[1:])[14:] == ["s:15", "s:1", "s:15", "s:15", "s:15"]  # 15 times is not often


@pytest.mark.parametrize(("times", "ids"), [(30, ["s:1", "s:1"]), (31, ["s:2", "s:2"])])
def test_product_of_two_connections(times: int, ids: list[str]) -> None:
    """It is strange to neither as long as none of them carries it 16 times as often as the other."""
    both = numbered((900, "A"), (500, "A"), (901, "A"), (902, "A"))
    messages = [*both, *often("A", 501, times), *numbered((903, "A"), (904, "A"))]
    assert told(messages)[-2:] == ids


@pytest.mark.parametrize("order", [0, 1])
def test_exchange(order: int) -> None:
    """A message without product was given to the wrong one of two: the next one with a product tells."""
    first = numbered((0, "A"), (0, "B"), (1, "A"), (1, "B"), 2)
    last = numbered((2, "B"), (3, "A")) if order else numbered((3, "A"), (2, "B"))
    messages = [*first, *last, *numbered((4, "A"), (3, "B"))]
    found = told(messages)
    assert found[4:] == ["s:2", *(("s:2", "s:1") if order else ("s:1", "s:2")), "s:1", "s:2"]
    assert by_rule(messages).holes == 0


def test_exchange_among_three() -> None:
    """Whichever of the three has carried the message without product: no hole is told."""
    first = numbered((0, "A"), (0, "B"), (0, "C"), (1, "A"), (1, "B"), (1, "C"), 2)
    homes = {"A": "s:1", "B": "s:2", "C": "s:3"}
    for order in permutations(homes):
        for silent in homes:
            messages = first + [Numbered(3 if product == silent else 2, product) for product in order]
            assert told(messages)[7:] == [homes[product] for product in order]
            assert by_rule(messages).holes == 0


def test_no_exchange() -> None:
    """Not where a message with a product stands against it, nor with a connection that is new to the product."""
    assert told(numbered((0, "A"), (0, "B"), (1, "A"), (1, "B"), (2, "C"), (3, "A")))[4:] == ["s:2", "s:2"]
    assert told(numbered((4, "A"), 5, 6, 7, 0, 1, 2, 3, 4, 5, (6, "A")))[-2:] == ["s:5", "s:5"]


def test_counts_of_holes() -> None:
    messages = numbered((0, "A"), (5, "A"), (0, "B"), (6, "A"), 9, (37, "C"), (3, "B"), (8, "A"), (10, "A"))
    told = by_tracker(messages)
    assert told.ids == ["s:1", "s:1", "s:3", "s:1", "s:1", "s:6", "s:3", "s:1", "s:1"]
    assert (told.holes, told.missing) == (4, 4 + 2 + 2 + 1)
    assert told == by_rule(messages)


@dataclass(frozen=True)
class Step:
    """A message of one of a few connections, whose counter first moves by `move`; None sets it to 0."""

    connection: int
    move: int | None
    product: str | None
    counter: int | None
    cut: bool
    """Whether a stretch ends before the message."""


STEPS = st.lists(
    st.builds(
        Step,
        connection=st.integers(0, 2),
        move=st.sampled_from((0, 0, 0, 0, 0, 0, 1, 2, -1, None)),
        product=st.sampled_from(("A", "B", "C", "D", None)),
        counter=st.sampled_from((None, 0, 1, 2)),
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
        messages.append(Numbered(counter, step.product, None if step.product else step.counter))
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
def test_any_messages_with_few_known_connections(steps: list[Step], limit: int) -> None:
    messages = walk(steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "MAX_KNOWN", limit)
        assert by_tracker(messages, cuts_of(steps)) == by_rule(messages, limit)


@dataclass(frozen=True)
class Recording:
    """How a recording is made up; shares are of all messages."""

    products: tuple[str, ...]
    lost: float
    restarts: float
    silent: float  # without product, half of them heartbeats
    unnumbered: float
    leap: int  # connections begin and stay within so many numbers of each other


def record(random: Random, made: Recording, count: int) -> list[Numbered]:
    """Return messages of interleaved connections; each carries the products of one of the strings."""
    numbers = [random.randrange(made.leap) for _ in made.products]
    beats = [random.randrange(3) for _ in made.products]
    messages = []
    while len(messages) < count:
        index = random.choice([index for index, number in enumerate(numbers) if number <= min(numbers) + made.leap])
        if random.random() < made.restarts:
            numbers[index] = 0
        is_silent, is_heartbeat = random.random() < made.silent, random.random() < 0.5
        beats[index] += is_silent and is_heartbeat
        if random.random() >= made.lost:
            product = None if is_silent else random.choice(made.products[index])
            counter = beats[index] if is_silent and is_heartbeat else None
            unnumbered = random.random() < made.unnumbered
            messages.append(Numbered(None) if unnumbered else Numbered(numbers[index], product, counter))
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


def test_more_connections_than_are_known() -> None:
    """Of 1,025 the one without a message for longest is forgotten: its product has no home any more."""
    opened = [Numbered(0, f"P{index}") for index in range(1025)]
    messages = [*opened[:1024], Numbered(1, "P0"), opened[1024], *numbered((2, "P0"), (1, "P2"), (1, "P1"))]
    expected = by_rule(messages)
    assert expected.ids[1024:] == ["s:1", "s:1026", "s:1", "s:3", "s:1026"]
    for cuts in ([], [1], [500], [1024, 1025]):
        assert by_tracker(messages, cuts) == expected


def test_counts_of_a_product_are_forgotten_with_its_home() -> None:
    """It was carried 15 times by the home before the forgotten one, which it comes back to."""
    messages = [
        *numbered((900, "A"), (500, "A")),
        *often("A", 501, 14),
        *numbered((901, "A"), (515, "B"), (0, "C"), (516, "B"), (2000, "D"), (517, "A"), (2001, "A")),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "MAX_KNOWN", 3)
        expected = by_rule(messages, 3)
        assert expected.ids[16:] == ["s:1", "s:2", "s:19", "s:2", "s:21", "s:2", "s:21"]
        assert by_tracker(messages) == expected
    assert told(messages)[-1] == "s:2"  # nothing is forgotten


def test_each_message_opens_a_connection() -> None:
    messages = [Numbered(3)] * 1500
    assert by_tracker(messages) == by_rule(messages) == Told([f"s:{line}" for line in range(1, 1501)], 0, 0)


def test_no_messages() -> None:
    assert by_tracker([], [0]) == Told([], 0, 0)
    assert by_tracker(numbered((None, None))) == Told([None], 0, 0)
