"""However a unit is cut into blocks, the same is found in it."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_ray.scan import LineParser, Parsed
from etl_ray.tables.schema import Numbers
from tests.scan.fuzz import seeds
from tests.scan.mutations import mutate
from tests.scan.outcome import COINBASE, difference, outcome, parse
from tests.scan.wire import all_lines, book, message, write

SEEDS = seeds()


def blocks(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return the data cut behind the line that each of `cuts` falls into, as a reader cuts it."""
    ends = sorted({data.find(b"\n", cut) + 1 for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


def parse_blocks(data: bytes, cuts: list[int], *, numbers: Numbers, block_bytes: int) -> list[Parsed]:
    parser = LineParser(COINBASE, numbers, block_bytes=block_bytes)
    found = []
    offset = 0
    for block in blocks(data, cuts):
        found += parse(parser, block, offset)
        offset += len(block)
    return found


def mutated(seed: int, count: int) -> bytes:
    random = Random(seed)
    return b"\n".join(mutate(random, SEEDS) for _ in range(count))


@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("seed", range(2))
def test_cuts_of_mutated_lines(seed: int, numbers: Numbers) -> None:
    data = mutated(seed, 300)
    random = Random(seed)
    whole = outcome(parse_blocks(data, [], numbers=numbers, block_bytes=len(data)))
    for count in (1, 10, 400):
        cuts = [random.randrange(len(data)) for _ in range(count)]
        for block_bytes in (1, len(data)):
            found = parse_blocks(data, cuts, numbers=numbers, block_bytes=block_bytes)
            assert difference(whole, outcome(found)) is None


def test_every_cut_into_two() -> None:
    data = b"\n".join(list(all_lines())[::5])
    whole = outcome(parse_blocks(data, [], numbers="float64", block_bytes=len(data)))
    for cut in [at for at, char in enumerate(data) if char == ord("\n")]:
        found = parse_blocks(data, [cut], numbers="float64", block_bytes=len(data))
        assert len(found) == 2
        assert difference(whole, outcome(found)) is None


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_any_cuts(seed: int, cuts: list[int]) -> None:
    data = mutated(seed, 10)
    whole = outcome(parse_blocks(data, [], numbers="float64", block_bytes=len(data)))
    found = parse_blocks(data, [min(cut, len(data)) for cut in cuts], numbers="float64", block_bytes=len(data))
    assert difference(whole, outcome(found)) is None


def test_symbols_are_numbered_in_the_order_in_which_they_come_and_stay() -> None:
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 16)
    lines = list(all_lines())
    known: tuple[str, ...] = ()
    for start in range(0, len(lines), 16):
        for parsed in parse(parser, b"\n".join(lines[start : start + 16])):
            assert parsed.symbols[: len(known)] == known
            assert len(set(parsed.symbols)) == len(parsed.symbols)
            known = parsed.symbols
    assert sorted(known) == ["A.B_C-9", "BTC-USD", "ETH-USD", "SOL-USD", "X", "btc/é"]
    parser.begin_unit()
    assert parser.symbols == ()
    for number, product in enumerate(("SOL-USD", "ETH-USD", "é"), start=1):
        (again,) = parse(parser, write(message("l2_data", book("update", product))) + b"\n")
        assert again.symbols == ("SOL-USD", "ETH-USD", "é")[:number]
        assert again.messages.line.tolist() == [number]
        assert again.messages.product.tolist() == [number - 1]
