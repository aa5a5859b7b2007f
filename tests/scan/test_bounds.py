"""The scanner reads nothing behind the padding and writes nothing beside its columns."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from etl_ray.scan import LineParser, kernel
from etl_ray.scan.buffers import Allocator
from etl_ray.scan.plan import MAX_SLOW_LINES, MAX_SYMBOLS, Workspace
from etl_ray.tables.schema import Numbers
from tests.scan.fuzz import STRICT_ONLY, differs
from tests.scan.outcome import COINBASE, PADDING, difference, outcome, parse, parse_once
from tests.scan.wire import all_lines, book, level, message, write

Item = TypeVar("Item", bound=np.generic)
GUARD = 4096
FILL = 0x5A
LINES = b"\n".join(all_lines())


def run_at_the_wall(padding: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.scan.bounds", str(padding)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def test_nothing_is_read_behind_the_padding() -> None:
    done = run_at_the_wall(PADDING)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20_000


def test_a_read_behind_the_padding_would_be_noticed() -> None:
    assert run_at_the_wall(0).returncode < 0


class GuardedMemory(Allocator):
    """Columns each of which stands between guards."""

    def __init__(self) -> None:
        self._guarded: list[npt.NDArray[np.uint8]] = []

    def column(self, size: int, dtype: type[Item]) -> npt.NDArray[Item]:
        n_bytes = size * np.dtype(dtype).itemsize
        whole = np.full(n_bytes + 2 * GUARD, FILL, np.uint8)
        self._guarded.append(whole)
        return whole[GUARD : GUARD + n_bytes].view(dtype)

    def is_intact(self) -> bool:
        """Return whether all guards are as they were."""
        return all((whole[:GUARD] == FILL).all() and (whole[-GUARD:] == FILL).all() for whole in self._guarded)


def guarded_parser(capacity_bytes: int, numbers: Numbers = "float64") -> tuple[LineParser, GuardedMemory, Workspace]:
    """Return a parser whose columns are of a small capacity."""
    memory = GuardedMemory()
    parser = LineParser(COINBASE, numbers, block_bytes=1)
    workspace = Workspace(COINBASE, numbers, capacity_bytes, allocator=memory)
    workspace.block_bytes = 1 << 40  # so that the parser does not replace it by a larger one
    parser._workspace = workspace
    parser.begin_unit()
    return parser, memory, workspace


def heartbeats(count: int) -> bytes:
    """Return a message of `count` events that are as short as can be."""
    return write(message("heartbeats", *({"heartbeat_counter": number} for number in range(count))))


def levels(count: int) -> bytes:
    """Return a message of `count` rows that are as short as can be."""
    rows = ({"side": "bid", "price_level": str(n), "new_quantity": "1"} for n in range(count))
    return write(message("l2_data", book("update", "X", *rows)))


def l2(product_id: str) -> bytes:
    return write(message("l2_data", book("update", product_id, level("bid", "1", "2"))))


BLOCKS = {
    "every shape": LINES,
    "every shape, cut": b"\n".join(line[: len(line) * 2 // 3] for line in all_lines()),
    "events": b"\n".join(heartbeats(count) for count in (1, 15, 16, 17, 18, 19, 20, 40, 1)),
    "rows": b"\n".join(levels(count) for count in (1, 15, 16, 17, 18, 19, 20, 21, 40, 1)),
    "rows of many messages": b"\n".join([levels(3)] * 50),
    "messages": b"\n".join([write(message("ticker"))] * 100),
    "slow lines": b"x\n" * 500,
    "blank lines": b"\n \n\t\r\n" * 500,
    "tiny lines": b"{}\n\n[]\n0\n" * 200,
    "products": b"\n".join(l2(f"P{number}") for number in range(MAX_SYMBOLS + 100)),
    "long products": b"\n".join(l2("X" * length) for length in range(1, 202)),
}


@pytest.mark.parametrize("capacity_bytes", [1, 100, 256, 1000])
@pytest.mark.parametrize("numbers", ["float64", "decimal"])
@pytest.mark.parametrize("name", BLOCKS)
def test_full_columns_are_not_overrun(name: str, numbers: Numbers, capacity_bytes: int) -> None:
    data = BLOCKS[name]
    parser, memory, _ = guarded_parser(capacity_bytes, numbers)
    found = parse(parser, data)
    assert memory.is_intact()
    assert difference(outcome(found), parse_once(data, numbers=numbers, venue=STRICT_ONLY)) is None
    again = parse(parser, data)  # with columns and tables as the first time left them
    assert memory.is_intact()
    assert sum(parsed.lines for parsed in again) == sum(parsed.lines for parsed in found)


def test_guards_notice_a_write() -> None:
    for before, behind in ((1, 0), (0, 1)):
        _, memory, workspace = guarded_parser(100)
        assert memory.is_intact()
        ctypes.memset(workspace.line.ctypes.data + (workspace.line.nbytes if behind else -before), 0, 1)
        assert not memory.is_intact()


def test_more_products_than_the_kernel_knows() -> None:
    lines = [l2(f"P{number}") for number in range(MAX_SYMBOLS + 50)] * 2
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 20)
    (found,) = parse(parser, b"\n".join(lines))
    assert found.slow_lines == 100
    assert len(found.symbols) == MAX_SYMBOLS + 50
    assert differs(lines, "float64") is None


def test_longest_product_that_the_kernel_takes() -> None:
    for length, slow in ((kernel.SYMBOL_CHARS, 0), (kernel.SYMBOL_CHARS + 1, 1)):
        (found,) = parse(LineParser(COINBASE, "float64", block_bytes=1000), l2("X" * length))
        assert (found.slow_lines, found.symbols) == (slow, ("X" * length,))


def test_more_slow_lines_than_fit_come_in_several_results() -> None:
    count = MAX_SLOW_LINES + 1000
    data = b"x\n" * count + l2("BTC-USD")
    found = parse(LineParser(COINBASE, "float64", block_bytes=1 << 20), data)
    assert [parsed.lines for parsed in found] == [MAX_SLOW_LINES, 1001]
    assert [len(parsed.rejects) for parsed in found] == [MAX_SLOW_LINES, 1000]
    rejects = [reject for parsed in found for reject in parsed.rejects]
    assert [reject.line for reject in rejects] == list(range(1, count + 1))
    assert [reject.byte_offset for reject in rejects] == list(range(0, 2 * count, 2))
    assert found[1].messages.line.tolist() == [count + 1]


def test_million_blank_lines() -> None:
    parser = LineParser(COINBASE, "float64", block_bytes=1 << 20)
    found = parse(parser, b"\n" * (1 << 20))
    assert [(parsed.lines, parsed.blank) for parsed in found] == [(1 << 20, 1 << 20)]
    (after,) = parse(parser, b"x", 1 << 20)
    assert [(reject.line, reject.byte_offset) for reject in after.rejects] == [((1 << 20) + 1, 1 << 20)]


def test_rows_denser_than_the_columns_go_to_the_strict_parser() -> None:
    data = levels(5000)
    parser = LineParser(COINBASE, "float64", block_bytes=len(data))
    (found,) = parse(parser, data)
    assert found.slow_lines == 1
    assert len(found.rows["level2"]) == 5000
    assert differs([data], "float64") is None


def test_block_larger_than_the_workspace() -> None:
    parser = LineParser(COINBASE, "float64", block_bytes=10)
    first = parse(parser, l2("SOL-USD") + b"\n" + LINES)
    second = parse(parser, LINES * 2)
    whole = parse(LineParser(COINBASE, "float64", block_bytes=1 << 20), l2("SOL-USD") + b"\n" + LINES)
    assert difference(outcome(first), outcome(whole)) is None
    assert second[0].symbols[: len(first[0].symbols)] == first[0].symbols
