"""Mutated lines through the parser and through one that knows no kernel: both have to find the same.

By hand: `python -m tests.scan.fuzz --seconds 300 --seed 1`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from etl_ray.scan import LineParser
from etl_ray.tables.schema import Numbers
from tests.scan.mutations import mutate
from tests.scan.outcome import COINBASE, difference, outcome, parse, parse_once, strict_only
from tests.scan.wire import all_lines

BLOCK_BYTES = 1 << 20
BLOCKS_PER_UNIT = 8
STRICT_ONLY = strict_only()


def seeds() -> list[bytes]:
    """Return lines to begin with; those that the kernel takes three times, since most changes make them slow."""
    lines = list(dict.fromkeys(all_lines()))
    parser = LineParser(COINBASE, "float64", block_bytes=BLOCK_BYTES)
    scanned = [line for line in lines if all(parsed.slow_lines == 0 for parsed in parse(parser, line))]
    return lines + 2 * scanned


@dataclass
class Fuzzer:
    """Compares batches of mutated lines; `lines` were compared so far, of which the kernel took `scanned`.

    `accepted` counts messages by channel, `rejected` lines. Both parsers go on from batch to batch, so that what they
    remember between lines is at stake too.
    """

    seed: int
    numbers: Numbers
    lines: int = 0
    scanned: int = 0
    rejected: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    _seeds: list[bytes] = field(default_factory=seeds)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._parsers = tuple(
            LineParser(venue, self.numbers, block_bytes=BLOCK_BYTES) for venue in (COINBASE, STRICT_ONLY)
        )
        self._batches = 0

    def compare(self, count: int) -> str | None:
        """Compare a batch of `count` mutated lines; return the smallest lines that differ, and how."""
        batch = [mutate(self.random, self._seeds) for _ in range(count)]
        data = b"\n".join(batch)
        if self._batches % BLOCKS_PER_UNIT == 0:
            for parser in self._parsers:
                parser.begin_unit()
        self._batches += 1
        ours, strict = (parse(parser, data) for parser in self._parsers)
        self.lines += sum(parsed.lines for parsed in ours)
        self.scanned += sum(parsed.lines - parsed.blank - parsed.slow_lines for parsed in ours)
        self.rejected += sum(len(parsed.rejects) for parsed in ours)
        for parsed in ours:
            self.accepted.update(self._parsers[0].channels[channel] for channel in parsed.messages.channel.tolist())
        if any(parsed.slow_lines != parsed.lines - parsed.blank for parsed in strict):
            raise AssertionError("the kernel took lines of a venue whose shapes it was not told of")
        found = difference(outcome(ours), outcome(strict, STRICT_ONLY))
        # Both know the same products, so nothing is left of a line that the kernel began and could not take.
        if found is None and {*ours[-1].symbols} != {*strict[-1].symbols}:
            found = f"symbols: {sorted({*ours[-1].symbols} ^ {*strict[-1].symbols})}"
        return None if found is None else _report(batch, found, self.numbers)


def differs(lines: Sequence[bytes], numbers: Numbers) -> str | None:
    """Return how the outcomes of lines differ that are parsed by parsers of their own."""
    data = b"\n".join(lines)
    ours = parse_once(data, numbers=numbers)
    return difference(ours, parse_once(data, numbers=numbers, venue=STRICT_ONLY))


def _report(batch: list[bytes], found: str, numbers: Numbers) -> str:
    """Leave out lines as long as a difference remains."""
    lines = batch
    if differs(lines, numbers) is None:
        return f"only with what earlier blocks left behind: {found}"
    size = len(lines) // 2
    while size:
        for start in range(0, len(lines), size):
            fewer = lines[:start] + lines[start + size :]
            if fewer and differs(fewer, numbers) is not None:
                lines = fewer
                break
        else:
            size //= 2
    return f"{differs(lines, numbers)}\nwith these lines:\n" + "\n".join(map(repr, lines))


def main() -> int:
    """Compare until the time is up or a difference is found."""
    options = argparse.ArgumentParser(prog="python -m tests.scan.fuzz", description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--batch", type=int, default=500, help="lines per batch")
    given = options.parse_args()
    fuzzers = [Fuzzer(given.seed, "float64"), Fuzzer(given.seed + 1, "decimal")]
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        for fuzzer in fuzzers:
            found = fuzzer.compare(given.batch)
            if found is not None:
                print(f"seed {fuzzer.seed}, {fuzzer.numbers}: {found}")
                return 1
    for fuzzer in fuzzers:
        print(
            f"{fuzzer.numbers}: {fuzzer.lines:,} lines agree, {fuzzer.scanned:,} of them scanned by the kernel, "
            f"{fuzzer.rejected:,} rejected"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
