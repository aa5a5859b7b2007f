"""A bucket in memory, `flaky://`, that fails every so many calls."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PROTOCOL = "flaky"


class Faults:
    """Lets every call number `every`, 2 * `every` and so on fail with `error()`; with `lost`, after it was carried out.

    `calls` and `failed` count; `named` limits both to calls of these names.
    """

    def __init__(self, every: int, error: Callable[[], Exception], *, lost: bool = False, named: str = "") -> None:
        self.calls: list[str] = []
        self.failed: list[str] = []
        self._every = every
        self._error = error
        self._lost = lost
        self._named = named.split()

    def meet(self, name: str, call: Callable[[], object]) -> object:
        """Carry out a call of the storage, or fail."""
        if self._named and name not in self._named:
            return call()
        self.calls.append(name)
        fails = len(self.calls) % self._every == 0
        result = None if fails and not self._lost else call()
        if fails:
            self.failed.append(name)
            raise self._error()
        return result


class FlakyFile(io.BytesIO):
    """A file open for reading; a read that fails has moved somewhere and filled some of the target."""

    def __init__(self, data: bytes, details: dict[str, object], faults: Faults) -> None:
        super().__init__(data)
        self.details = details
        self._faults = faults

    def readinto(self, target: object) -> int:
        view = memoryview(target).cast("B")  # type: ignore[arg-type]
        position = self.tell()
        try:
            count = self._faults.meet("readinto", lambda: io.BytesIO.readinto(self, view))
        except Exception:
            self.seek(position + 1)
            view[:] = b"?" * len(view)
            raise
        assert isinstance(count, int)
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._faults.meet("read", lambda: io.BytesIO.read(self, size))
        assert isinstance(data, bytes)
        return data


class FlakyFileSystem(MemoryFileSystem):
    """The bucket; only calls from outside are counted, not those that it makes itself."""

    protocol = PROTOCOL
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    faults: ClassVar[Faults]
    _inside = threading.local()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix(f"{PROTOCOL}://")))

    def _open(self, path: str, mode: str = "rb", **options: object) -> object:
        if mode != "rb":
            return super()._open(path, mode, **options)
        details = {name: value for name, value in self.info(path).items() if name != "type"}  # as http:// has it
        return FlakyFile(self.cat_file(path), details, self.faults)


def _counted(name: str) -> Callable[..., object]:
    inner = getattr(MemoryFileSystem, name)

    def call(self: FlakyFileSystem, *arguments: object, **options: object) -> object:
        if getattr(self._inside, "yes", False):
            return inner(self, *arguments, **options)

        def outermost() -> object:
            self._inside.yes = True
            try:
                return inner(self, *arguments, **options)
            finally:
                self._inside.yes = False

        return self.faults.meet(name, outermost)

    return call


COUNTED = ("info", "find", "glob", "open", "cat_file", "pipe_file", "put_file", "cp_file", "rm_file", "rm")
for _name in COUNTED:
    setattr(FlakyFileSystem, _name, _counted(_name))


@contextmanager
def mounted(faults: Faults) -> Iterator[Faults]:
    """Let `flaky://` fail as `faults` say; it is empty before and after."""
    fsspec.register_implementation(PROTOCOL, FlakyFileSystem, clobber=True)
    FlakyFileSystem.faults = faults
    FlakyFileSystem.store.clear()
    FlakyFileSystem.pseudo_dirs[:] = [""]
    try:
        yield faults
    finally:
        FlakyFileSystem.store.clear()


def stored() -> dict[str, bytes]:
    """Return the content of all files of `flaky://`, without a fault."""
    return {name: file.getvalue() for name, file in sorted(FlakyFileSystem.store.items())}  # type: ignore[attr-defined]
