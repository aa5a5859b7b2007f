"""What a recording is like, from the heads of a few segments: unpacked, and staged as a run would stage them."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.orchestrators.compiled import compile_all
from etl_ray.orchestrators.normalize import Normalizer
from etl_ray.orchestrators.pruning import is_prunable, sizes_of
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.unit_options import unit_options
from etl_ray.progress import Progress
from etl_ray.readers.codecs import MAGIC_BYTES, Codec, DamageError, codec_of, open_unpacked
from etl_ray.readers.segments import Segment, Unit

SAMPLED_SEGMENTS = 8
PLAIN_BYTES = 4_000_000
PACKED_BYTES = 500_000
"""How much is read of the head of a segment, as it is stored."""
_MOST_UNPACKED_BYTES = 64_000_000  # what a head is at most: more would be a bomb rather than a recording
_BEGINNING = re.compile(rb'"type"[ \t\r]*:[ \t\r]*"snapshot"|"channel"[ \t\r]*:[ \t\r]*"subscriptions"')
_LINE_END = b"\n"
_ALL_TIMES = (None, None)
PARTED = ("level2", "market_trades", "ticker", "candles")


@dataclass(frozen=True)
class Content:
    """What some lines came to, `bytes` of them unpacked.

    `rows` are those staged by table, and `products` the same by product where the table is parted by it; `groups` are
    row groups, one per table, partition and stretch. Staged bytes are told by whether they are kept for later runs.
    """

    bytes: int = 0
    lines: int = 0
    messages: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    products: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    groups: int = 0
    staged_bytes: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True)
class Head:
    """The head of a segment: `stored` bytes of it, in `snapshots` what begins a connection, in `updates` the rest.

    `is_whole`: there is no more of the segment. `ts_min` and `ts_max` are the times of its messages (ns, None: none).
    """

    index: int
    stored: int
    codec: Codec | None
    is_whole: bool
    snapshots: Content
    updates: Content
    ts_min: int | None
    ts_max: int | None

    @property
    def bytes(self) -> int:
        """Unpacked bytes of its lines."""
        return self.snapshots.bytes + self.updates.bytes


def sample(
    segments: Sequence[Segment],
    config: JobConfig,
    progress: Progress,
    *,
    lines_to: Path | None = None,
) -> tuple[Head, ...]:
    """Read the heads of up to SAMPLED_SEGMENTS segments that are spread over a recording, the first one among them.

    Their lines are left in the directory `lines_to`, as plain segments of their own, if it is given.
    """
    if lines_to is not None:
        lines_to.mkdir()
    compile_all(books=False, progress=progress)
    with tempfile.TemporaryDirectory(prefix="etl-ray-plan-") as folder:
        normalizer = Normalizer(unit_options(config, _ALL_TIMES, folder))
        heads = []
        for index in spread(len(segments), SAMPLED_SEGMENTS):
            segment = segments[index]
            limit = PACKED_BYTES if segment.url.endswith((".gz", ".zst")) else PLAIN_BYTES
            stored, lines, codec = _read(segment, min(limit, segment.size), Path(folder))
            if stored < segment.size:
                lines = lines[: lines.rfind(_LINE_END) + 1]
            if lines_to is not None and lines:
                (lines_to / f"{index:08d}-{segment.identity}").write_bytes(lines)
            heads.append(_head(index, segment, stored, lines, codec, normalizer=normalizer, folder=Path(folder)))
    return tuple(heads)


def spread(count: int, wanted: int) -> tuple[int, ...]:
    """Return up to `wanted` of the indices below `count`, evenly spread from the first one on."""
    return tuple(dict.fromkeys(k * count // min(count, wanted) for k in range(min(count, wanted))))


def _read(segment: Segment, stored: int, folder: Path) -> tuple[int, bytes, Codec | None]:
    """Return how many bytes of a segment were read, what they unpack to, and their codec."""
    head = _read_head(segment.url, stored)
    codec = codec_of(head[:MAGIC_BYTES], segment.url)
    path = folder / f"head{'' if codec is None else '.packed'}"
    path.write_bytes(head)
    unpacked = bytearray()
    scratch = memoryview(bytearray(1 << 20))
    try:
        source = open_unpacked(str(path), size=len(head), version="")
        try:
            while len(unpacked) < _MOST_UNPACKED_BYTES and (count := source.readinto(scratch)):
                unpacked += scratch[:count]
        finally:
            source.close()
    except DamageError:
        pass  # a head of a packed segment ends in the middle of a stream; what came before counts
    return len(head), bytes(unpacked), codec


def _read_head(url: str, size: int) -> bytes:
    head = bytearray()
    with storage.open_read(url) as file:
        while len(head) < size and (piece := file.read(size - len(head))):
            head += piece
    return bytes(head)


def _head(
    index: int,
    segment: Segment,
    stored: int,
    lines: bytes,
    codec: Codec | None,
    *,
    normalizer: Normalizer,
    folder: Path,
) -> Head:
    """Stage lines, those with snapshots apart from the others."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for line in lines.splitlines(keepends=True):
        parts[_BEGINNING.search(line) is None].append(line)
    found = []
    for number, part in enumerate(parts):
        found.append(_staged(b"".join(part), f"{index}-{number}-{segment.identity}", normalizer, folder))
    times = [ts for _, receipt in found if receipt for ts in (receipt.ts_min, receipt.ts_max) if ts is not None]
    return Head(
        index=index,
        stored=stored,
        codec=codec,
        is_whole=stored == segment.size,
        snapshots=found[0][0],
        updates=found[1][0],
        ts_min=min(times, default=None),
        ts_max=max(times, default=None),
    )


def _staged(lines: bytes, identity: str, normalizer: Normalizer, folder: Path) -> tuple[Content, Receipt | None]:
    """Stage lines as a unit of their own, and tell what came of them."""
    if not lines:
        return Content(), None
    path = folder / identity
    path.write_bytes(lines)
    receipt = normalizer.run(Unit(Segment(identity, str(path), len(lines), "")))
    path.unlink()
    return content_of(receipt), receipt


def content_of(receipt: Receipt) -> Content:
    """Return what a receipt tells of its lines."""
    rows: Counter[str] = Counter()
    products: dict[str, Counter[str]] = {}
    for file in receipt.files:
        for group in file.groups:
            rows[file.table] += group.rows
            if file.table in PARTED and group.partition:
                products.setdefault(file.table, Counter())[group.partition[0]] += group.rows
    sizes = sizes_of(receipt)
    kept = sum(size for path, size in sizes.items() if not is_prunable(path))
    return Content(
        bytes=receipt.counts.bytes,
        lines=receipt.counts.lines,
        messages=receipt.messages,
        rows=dict(rows),
        products={table: dict(found) for table, found in products.items()},
        groups=sum(len(file.groups) for file in receipt.files),
        staged_bytes=sum(sizes.values()),
        kept_bytes=kept,
    )
