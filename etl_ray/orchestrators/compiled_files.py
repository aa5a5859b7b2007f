"""Compiled code on its way to other machines: where the same sources lie, it is loaded instead of compiled anew."""

from __future__ import annotations

import hashlib
import io
import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numba

from etl_ray.bars import kernel as bars
from etl_ray.book import kernel as books
from etl_ray.config import user_cache_dir
from etl_ray.coverage import timeline
from etl_ray.scan import connections
from etl_ray.scan import kernel as lines

_MODULES: tuple[ModuleType, ...] = (lines, connections, timeline, books, bars)
_SOURCES = "sources"
_KEPT = 10  # versions of the code, of about one MB each


def packed() -> bytes:
    """Return what is compiled on this machine, with the digest of the sources that it comes of."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_SOURCES, _sources())
        for loop in _loops():
            for path in sorted(loop.folder.glob(loop.pattern)):
                archive.writestr(f"{loop.module}/{path.name}", path.read_bytes())
    return data.getvalue()


@cache  # once per process: a worker gets it with each of its tasks
def install(data: bytes) -> None:
    """Put compiled code where Numba looks for it, unless the sources here are others, or it is there.

    Numba itself compares the processor, its version, and the file of each function, but not those of what it calls.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if archive.read(_SOURCES).decode() != _sources():
            return
        # The index of a function, .nbi, refers to its code, .nbc.
        names = sorted(archive.namelist(), reverse=True)
        for loop in _loops():
            if loop.index():
                continue
            for name in names:
                if name.startswith(f"{loop.module}/") and Path(name).match(loop.pattern):
                    _write(loop.folder / Path(name).name, archive.read(name))


@dataclass(frozen=True)
class _Loop:
    """A function that is kept when it is compiled: its module, and the folder and pattern of its files.

    `index` tells what is there; what an earlier version has left under the same names is nothing.
    """

    module: str
    folder: Path
    pattern: str
    index: Callable[[], object]


def _loops() -> Iterator[_Loop]:
    for module in _MODULES:
        for found in vars(module).values():
            folder = getattr(getattr(found, "stats", None), "cache_path", None)
            if folder is not None and found.__module__ == module.__name__:
                line = found.py_func.__code__.co_firstlineno
                stem = module.__name__.rpartition(".")[2]
                pattern = f"{stem}.{found.__qualname__}-{line}.py*.nb[ci]"
                yield _Loop(module.__name__, Path(folder), pattern, found._cache._cache_file._load_index)


def keep() -> None:
    """Keep what is compiled in the user's cache, for other copies of the same sources, as of the next job."""
    path = _kept()
    _write(path, packed())
    with suppress(OSError):
        found = sorted(path.parent.glob("compiled-*.zip"), key=lambda each: each.stat().st_mtime, reverse=True)
        for old in found[_KEPT:]:
            old.unlink()


def restore() -> None:
    """Install what an earlier process has kept of the same sources, if anything."""
    with suppress(OSError, zipfile.BadZipFile, KeyError):
        install(_kept().read_bytes())


def _kept() -> Path:
    return user_cache_dir() / "etl-ray" / f"compiled-{_sources()[:16]}.zip"


@cache
def _sources() -> str:
    """Return a digest of all code of the package: what is compiled contains what it calls in other files."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(f"\n{path.relative_to(root)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Write a file that appears whole; other workers may write the same. Where that is refused, it is compiled."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
