"""Any bytes, mixed into any place of good segments: every line is accounted for, and what is untouched is kept."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from etl_ray.errors import WrongInputError
from etl_ray.readers.codecs import codec_of
from tests.bad_input.recordings import run
from tests.orchestrators.outputs import OWN, decoded, plain_rows

HEAD = '{"channel":"%s","timestamp":"2025-11-26T%02d:00:00.5Z","sequence_num":%d,"events":['
EVENTS = {
    "l2_data": '{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2025-11-26T14:00:00Z",'
    '"price_level":"1.5","new_quantity":"2"},{"side":"offer","event_time":"","price_level":"2","new_quantity":"0"}]}',
    "market_trades": '{"type":"update","trades":[{"product_id":"ETH-USD","trade_id":"7","price":"3000.1","size":"0.5",'
    '"time":"2025-11-26T23:59:59.123456789Z","side":"SELL"}]}',
    "ticker": '{"type":"update","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"2"}]}',
    "candles": '{"type":"update","candles":[{"start":"1764165600","high":"3","low":"1","open":"2","close":"2",'
    '"volume":"9","product_id":"BTC-USD"}]}',
    "status": '{"type":"snapshot","products":[{"id":"BTC-USD","status":"online"}]}',
    "heartbeats": '{"current_time":"2025-11-26 14:00:00.1 +0000 UTC m=+1.5","heartbeat_counter":5}',
    "subscriptions": '{"subscriptions":{"level2":["BTC-USD","ETH-USD"],"heartbeats":[]}}',
    "user": '{"type":"snapshot","orders":[]}',
}
MAX_LINE_BYTES = 1_000


def good_segment(first: int) -> list[bytes]:
    """Return lines of all kinds, each other than every line of another segment; the last number is 9 more."""
    lines = [
        (HEAD % (channel, (first + number) % 24, first + number) + event_ + "]}").encode()
        for number, (channel, event_) in enumerate(EVENTS.items())
    ]
    return [*lines, b'{"type":"error","message":"%d"}' % first, b'{"capture_ts":null,"data":%s}' % lines[0]]


SEGMENTS = [good_segment(0), good_segment(10)]
BESIDE = "0_20251126.ndjson"
NAMES = ["a_20251126.ndjson", "b_20251126.ndjson"]
TOKENS = [
    *(b"\n", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b"\\", b"{", b"}", b"}]}\n{", b"[" * 1_100),
    *(b'"channel":"user"', b'"sequence_num":3,', b"NaN", b"\\ud800", b"x" * (MAX_LINE_BYTES + 1), b"\x1f\x8b\x08"),
]
Row = dict[str, object]
Place = tuple[str, object]
Pack = Callable[[bytes], bytes]


def zstandardize(data: bytes) -> bytes:
    return zstd.compress(data)


PACKS: dict[str, Pack] = {".gz": gzip.compress, ".zst": zstandardize}


@dataclass(frozen=True)
class Edit:
    """A change at a place, counted around the end: bytes are inserted or laid over others, or so many removed."""

    place: int
    kind: str
    data: bytes

    def apply(self, data: bytes) -> bytes:
        at = self.place % (len(data) + 1)
        behind = data[at:] if self.kind == "insert" else data[at + len(self.data) :]
        return data[:at] + (b"" if self.kind == "remove" else self.data) + behind


@dataclass(frozen=True)
class Spoiled:
    """A segment as it is stored. `text` are its unpacked bytes as far as they are known; those to come are if `cut`."""

    suffix: str
    stored: bytes
    text: bytes | None
    cut: bool = False


def apply_all(data: bytes, edits: list[Edit]) -> bytes:
    for edit in edits:
        data = edit.apply(data)
    return data


OF_OTHER_LINES = (
    *("market_trades", "candles"),  # of which each comes once, from whatever line
    *("instruments", "book", "book_checkpoints", "coverage", "connections", "witness"),
)
EDITS = st.lists(
    st.builds(
        Edit,
        st.integers(0, 1 << 16),
        st.sampled_from(["insert", "overwrite", "remove"]),
        st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=60)),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def spoiled_segments(draw: st.DrawFn, lines: list[bytes]) -> Spoiled:
    """Draw a segment with something wrong in its lines, its packing or its length, or one that is nothing but bytes."""
    whole = b"\n".join(lines) + draw(st.sampled_from([b"\n", b""]))
    suffix = draw(st.sampled_from(["", *PACKS]))
    kind = draw(st.sampled_from(["lines", "lines", "lines", "packing", "truncation", "random"]))
    event(f"{kind} {suffix}")
    if kind == "random":
        stored = draw(st.binary(max_size=300))
        return Spoiled(suffix, stored, None if codec_of(stored[:4], f"x{suffix}") else stored)
    if kind == "lines" or not suffix:
        text = apply_all(whole, draw(EDITS))
        return Spoiled(suffix, PACKS[suffix](text), text) if suffix else plain(text)
    at = draw(st.integers(0, len(whole)))
    stored = PACKS[suffix](whole[:at]) + PACKS[suffix](whole[at:])
    if kind == "truncation":
        return Spoiled(suffix, stored[: draw(st.integers(0, len(stored) - 1))], whole, cut=True)
    return Spoiled(suffix, apply_all(stored, draw(EDITS)), None)


def plain(text: bytes) -> Spoiled:
    """Return a segment that is not packed, unless its first bytes say that it is."""
    return Spoiled("", text, None if codec_of(text[:4], "x") else text)


def rows_by_place(output: Path) -> dict[Place, list[Row]]:
    """Return the rows of each (segment, line), each with its table; without what depends on other lines."""
    found: dict[Place, list[Row]] = defaultdict(list)
    for path in sorted(output.rglob("*.parquet")):
        table = path.relative_to(output).parts[0]
        if table in (OWN, *OF_OTHER_LINES):
            continue
        with pq.ParquetFile(path) as file:
            rows = plain_rows(decoded(file.read()))
        for row in rows:
            place = str(row.pop("segment")), row.pop("line")
            row.pop("connection_id", None)
            found[place].append({"table": table, **row})
    return found


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, list[Row]]:
    """Return the rows of every good line, from a clean run."""
    directory = tmp_path_factory.mktemp("clean")
    (directory / "in").mkdir()
    for name, lines in zip(NAMES, SEGMENTS, strict=True):
        (directory / "in" / name).write_bytes(b"\n".join(lines))
    summary = run(directory / "in", directory / "out")
    assert (summary.accepted, summary.ignored) == (18, 2)
    found = rows_by_place(directory / "out")
    rows = {
        line: found[name, number]
        for name, lines in zip(NAMES, SEGMENTS, strict=True)
        for number, line in enumerate(lines, 1)
    }
    assert [len(rows[line]) for line in SEGMENTS[0]] == [2, 0, 1, 0, 1, 1, 3, 0, 1, 2]
    return rows


def check_lines(name: str, spoiled: Spoiled, found: dict[Place, list[Row]], wanted: dict[bytes, list[Row]]) -> None:
    """Hold the rows of a segment: of lines that are good ones exactly theirs, of others at most a reject that fits."""
    places = {place: rows for place, rows in found.items() if place[0] == name}
    if spoiled.text is None:
        return
    mark = 3 if spoiled.text.startswith(b"\xef\xbb\xbf") else 0
    lines = spoiled.text[mark:].split(b"\n")
    if not lines[-1]:
        lines.pop()
    if spoiled.cut:  # some lines of the front, of which the last one may be cut
        count = max((int(str(line)) for _, line in places), default=0)
        lines = lines[: max(count - 1, 0)]
    offset = mark
    for number, line in enumerate(lines, 1):
        rows = places.pop((name, number), [])
        good = line.removesuffix(b"\r")
        if good in wanted:
            assert rows == wanted[good], f"line {number} of {name}"
        elif [row["table"] for row in rows] == ["rejects"]:
            told = (rows[0]["byte_offset"], rows[0]["length"], rows[0]["sha256"])
            assert told == (offset, len(line), hashlib.sha256(line).hexdigest())
        else:
            assert all(row["table"] != "rejects" for row in rows)
        offset += len(line) + 1
    assert len(places) <= spoiled.cut


def check(segments: list[Spoiled], beside: bool, sizes: dict[str, float], wanted: dict[bytes, list[Row]]) -> None:
    """Run the job over spoiled segments and, if there is one, a good one beside them."""
    with TemporaryDirectory() as directory:
        source, output = Path(directory) / "in", Path(directory) / "out"
        source.mkdir()
        good = [line for lines in SEGMENTS for line in lines] * 2
        if beside:
            (source / BESIDE).write_bytes(b"\n".join(good))
        for name, segment in zip(NAMES, segments, strict=False):
            (source / f"{name}{segment.suffix}").write_bytes(segment.stored)
        try:
            summary = run(source, output, staging=sizes)
        except WrongInputError as error:
            event("refused")
            figures = re.match(r"([0-9,]+) of the first ([0-9,]+) lines were rejected, more than half", str(error))
            assert figures is not None
            rejects, lines = (int(figure.replace(",", "")) for figure in figures.groups())
            assert 2 * rejects > lines
            assert not (output / OWN / "manifests").exists()
            return
        assert 2 * summary.rejects <= summary.lines
        assert len(summary.damaged) <= sum(segment.text is None or segment.cut for segment in segments)
        found = rows_by_place(output)
        if beside:
            check_lines(BESIDE, Spoiled("", b"", b"\n".join(good)), found, wanted)
        for name, segment in zip(NAMES, segments, strict=False):
            check_lines(name, segment, found, wanted)


SIZES = st.sampled_from(
    [
        {},
        {"unit_mb": 0.000_7, "block_mb": 0.000_2, "max_line_mb": MAX_LINE_BYTES / 1e6, "rows_per_file": 3},
        {"unit_mb": 0.000_4, "max_line_mb": MAX_LINE_BYTES / 1e6, "rows_per_group": 2},
        {"block_mb": 0.000_001, "max_line_mb": MAX_LINE_BYTES / 1e6},
    ]
)
ANY = given(
    first=spoiled_segments(SEGMENTS[0]),
    second=st.none() | spoiled_segments(SEGMENTS[1]),
    beside=st.sampled_from([True, True, True, False]),
    sizes=SIZES,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@example(plain(b"\xef\xbb\xbf" + b"\r\n".join(SEGMENTS[0]) + b"\r\n"), None, False, {})
@example(plain(b"\n".join(SEGMENTS[0] * 2)), plain(b"\n" * 99 + b"\n".join(SEGMENTS[1])), False, {"unit_mb": 0.000_05})
@ANY
def test_any_bytes_in_any_place(
    wanted: dict[bytes, list[Row]], first: Spoiled, second: Spoiled | None, beside: bool, sizes: dict[str, float]
) -> None:
    check([first] if second is None else [first, second], beside, sizes, wanted)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@ANY
def test_any_bytes_in_any_place_for_long(
    wanted: dict[bytes, list[Row]], first: Spoiled, second: Spoiled | None, beside: bool, sizes: dict[str, float]
) -> None:
    check([first] if second is None else [first, second], beside, sizes, wanted)
