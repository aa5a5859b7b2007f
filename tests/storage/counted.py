"""A bucket on this disk, `counted://DIRECTORY`, that counts requests as a bucket would get them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import ClassVar

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

PROTOCOL = "counted"
_PAGE = 1000  # names in the answer to a listing, deletions in a request


class CountedFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file open for reading by ranges, with fsspec's own cache of what it reads ahead."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data = Path(self.path).read_bytes()[start:end]
        self.fs.count("GET", len(data))
        return data


class CountedFileSystem(AbstractFileSystem):  # type: ignore[misc]  # as above
    """The bucket. `requests` counts by kind, `read_bytes` the bytes that were sent."""

    protocol = PROTOCOL
    cachable = False
    requests: ClassVar[Counter[str]] = Counter()
    read_bytes: ClassVar[int] = 0

    @classmethod
    def forget(cls) -> None:
        cls.requests.clear()
        cls.read_bytes = 0

    @classmethod
    def count(cls, kind: str, read_bytes: int = 0) -> None:
        cls.requests[kind] += 1
        cls.read_bytes += read_bytes

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix(f"{PROTOCOL}://").strip("/")

    def _entry(self, path: Path) -> dict[str, object]:
        status = path.stat()
        kind = "directory" if path.is_dir() else "file"
        size = 0 if path.is_dir() else status.st_size
        return {"name": str(path), "size": size, "type": kind, "ETag": str(status.st_mtime_ns)}

    def info(self, path: str, **options: object) -> dict[str, object]:
        self.count("HEAD")
        return self._entry(Path(self._strip_protocol(path)))

    def ls(self, path: str, detail: bool = True, **options: object) -> list[object]:
        self.count("LIST")
        found = [self._entry(each) for each in sorted(Path(self._strip_protocol(path)).iterdir())]
        return found if detail else [entry["name"] for entry in found]

    def find(self, path: str, detail: bool = False, **options: object) -> object:
        found = {str(each): self._entry(each) for each in sorted(Path(self._strip_protocol(path)).rglob("*"))}
        files = {name: entry for name, entry in found.items() if entry["type"] == "file"}
        for _ in range(0, max(1, len(files)), _PAGE):
            self.count("LIST")
        return files if detail else list(files)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        data = Path(self._strip_protocol(path)).read_bytes()[start:end]
        self.count("GET", len(data))
        return data

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
        self.count("PUT")
        target = self._target(path)
        with target.open("xb" if mode == "create" else "wb") as file:
            file.write(value)

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **options: object) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes(), mode)

    def cp_file(self, path1: str, path2: str, **options: object) -> None:
        self.count("COPY")
        shutil.copyfile(self._strip_protocol(path1), self._target(path2))

    def rm_file(self, path: str) -> None:
        self.count("DELETE")
        Path(self._strip_protocol(path)).unlink()

    def rm(self, path: str, recursive: bool = False, **options: object) -> None:
        found = self.find(path)
        assert isinstance(found, list)
        for _ in range(0, len(found), _PAGE):
            self.count("DELETE")
        shutil.rmtree(self._strip_protocol(path))

    def _target(self, path: str) -> Path:
        target = Path(self._strip_protocol(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _open(self, path: str, mode: str = "rb", block_size: int = 0, **options: object) -> CountedFile:
        return CountedFile(self, path, mode, block_size=block_size, **options)


def install() -> None:
    """Let fsspec know the bucket."""
    fsspec.register_implementation(PROTOCOL, CountedFileSystem, clobber=True)
