"""Files are compared by their bytes, and by whether they are one."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_ray import storage
from etl_ray.errors import NotFoundError

MANY = bytes(range(256)) * 10_000
"""More than what is compared at once."""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"", b"", True),
        (MANY, MANY, True),
        (MANY, MANY[:-1], False),
        (MANY[:-1], MANY, False),
        (MANY, MANY[:-1] + b"\0", False),
        (MANY, b"\1" + MANY[1:], False),
    ],
)
def test_content_is_compared_to_the_last_byte(one: bytes, other: bytes, same: bool, root: str) -> None:
    storage.write_bytes(f"{root}/a", one)
    storage.write_bytes("memory://root/other/b", other)

    assert storage.is_same_content(f"{root}/a", "memory://root/other/b") is same


def test_one_file_by_several_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for name in ("a", "b"):
        storage.write_bytes(f"memory://root/{name}", b"1")

    assert storage.is_same_file(str(tmp_path / "a"), f"file://{tmp_path}/link")
    assert not storage.is_same_file(str(tmp_path / "a"), str(tmp_path / "b"))
    assert storage.is_same_file("memory://root/a", "memory:///root/a")
    assert not storage.is_same_file("memory://root/a", "memory://root/b")
    assert not storage.is_same_file(str(tmp_path / "a"), "memory://root/a")
    with pytest.raises(NotFoundError):
        storage.is_same_file(str(tmp_path / "a"), str(tmp_path / "missing"))
    storage.delete_tree("memory://root")
