"""Good lines, and runs over them that are held to the account of lines."""

from __future__ import annotations

from pathlib import Path

from etl_ray.config import JobConfig
from etl_ray.job import ETLJob
from etl_ray.summary import RunSummary
from tests.orchestrators.outputs import places_of, rows_of, strays_of

_LEVEL2 = (
    '{"channel":"l2_data","timestamp":"2025-11-26T14:00:00.%09dZ","sequence_num":%d,"events":[{"type":"update",'
    '"product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2025-11-26T14:00:00Z","price_level":"1.5",'
    '"new_quantity":"%d"}]}]}'
)


def good(number: int) -> bytes:
    """Return a valid message of one level, whose quantity is `number`, without a line end."""
    return (_LEVEL2 % (number, number, number)).encode()


def good_lines(first: int, count: int) -> bytes:
    """Return as many valid lines, numbered from `first`."""
    return b"".join(good(number) + b"\n" for number in range(first, first + count))


def run(source: Path | str, output: Path, **overrides: object) -> RunSummary:
    """Run the job in this process; AssertionError if a line is not accounted for, or OUTPUT holds what is no table."""
    config = JobConfig.model_validate({"engine": "local", **overrides})
    summary = ETLJob(str(source), str(output), config=config).process_all()
    told = summary.accepted + summary.ignored + summary.out_of_range + summary.blank + summary.rejects
    assert summary.lines == told
    assert summary.rejects == summary.rows.get("rejects", 0) == len(rows_of(output, "rejects"))
    assert strays_of(output) == []
    return summary


def places(output: Path) -> list[tuple[object, object]]:
    """Return (segment, line) of every row of `level2`, in order."""
    return [(segment, line) for segment, line, _, _ in sorted(places_of(output, "level2"), key=str)]


def kept(output: Path) -> dict[object, list[object]]:
    """Return the quantities of the rows of `level2`, which are the numbers of the good lines, by segment."""
    found: dict[object, list[object]] = {}
    for row in rows_of(output, "level2"):
        found.setdefault(row["segment"], []).append(row["quantity"])
    return found


def reasons(output: Path) -> list[tuple[object, object, object, object]]:
    """Return where rejected lines are, and why they were rejected: segment, line, byte, reason."""
    return [(row["segment"], row["line"], row["byte_offset"], row["reason"]) for row in rows_of(output, "rejects")]
