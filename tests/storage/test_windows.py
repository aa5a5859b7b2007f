"""Ranges that are asked for while a file in a bucket is read."""

from __future__ import annotations

import io

from etl_ray.storage.windows import FIRST_BYTES, MOST_BYTES, Windows


class Asked(io.BytesIO):
    """A file that keeps what it is asked for: offset and length."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.ranges: list[tuple[int, int]] = []

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        self.ranges.append((self.tell(), len(target)))
        return super().readinto(target)


def test_ranges_grow_while_reading_goes_on_and_begin_small_after_a_jump() -> None:
    first = FIRST_BYTES
    inner = Asked(bytes(range(256)) * (200 * first // 256))
    file = Windows(inner)

    assert file.read(3) == b"\x00\x01\x02"
    while file.tell() < 120 * first:
        assert file.read(100_000)
    file.seek(150 * first + 7)
    assert file.read(2) == b"\x07\x08"
    file.seek(1, io.SEEK_CUR)
    assert file.read(1) == b"\x0a"

    assert inner.ranges == [
        (0, first),
        (first, 4 * first),
        (5 * first, 16 * first),
        (21 * first, MOST_BYTES),
        (85 * first, MOST_BYTES),
        (150 * first + 7, first),
    ]
    assert (FIRST_BYTES, MOST_BYTES) == (262_144, 16_777_216)


def test_nothing_is_asked_for_behind_the_end() -> None:
    inner = Asked(b"0123456789")
    file = Windows(inner)

    assert (file.seek(-4, io.SEEK_END), file.read(), file.read(1), file.readall()) == (6, b"6789", b"", b"")
    assert (file.seek(20), file.read(1), file.seek(0), file.readall()) == (20, b"", 0, b"0123456789")
    assert inner.ranges == [(6, 4), (0, 10)]
    file.close()
    assert inner.closed


def test_a_large_read_is_one_range() -> None:
    inner = Asked(bytes(3 * FIRST_BYTES))
    inner.seek(5)
    target = bytearray(2 * FIRST_BYTES)

    assert Windows(inner).readinto(target) == 2 * FIRST_BYTES
    assert inner.ranges == [(5, 2 * FIRST_BYTES)]
