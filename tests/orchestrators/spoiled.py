"""Recordings with bad lines in them."""

from __future__ import annotations

import random
import re


def spoil(lines: list[bytes], draw: random.Random) -> list[bytes]:
    """Return the lines, some written in another way, and bad ones among them: cut, garbage, long, of any bytes."""
    spoiled = []
    for line in lines:
        kind = draw.randrange(12)
        written = {
            0: b" " + line.replace(b",", b" ,\t") + b"\r",
            1: line.replace(b'"sequence_num"', b'"extra":{"a":[1,"2"]},"sequence_num"'),
        }
        spoiled.append(written.get(kind, line))
        if kind == 2:
            spoiled.append(line[: draw.randrange(1, len(line))])
        elif kind == 3:
            spoiled.append(draw.choice([b"", b"  \t", b"\r"]))
        elif kind == 4:
            spoiled.append(line.replace(b'"', b"'", 1))
        elif kind == 5:
            spoiled.append(draw.randbytes(40).replace(b"\n", b""))
        elif kind == 6:
            spoiled.append(re.sub(rb'("timestamp": ?")2', rb"\1x", line))
    # Longer than max_line_mb: rejected without a look at its end.
    spoiled.insert(len(spoiled) // 2, b'{"channel":"ticker","pad":"' + b"x" * 250_001)
    return spoiled
