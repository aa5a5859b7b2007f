"""Compiled code on its way to other machines: where the same sources lie, it is loaded instead of compiled anew."""

from __future__ import annotations

import hashlib
import io
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import suppress
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
        for module, folder, pattern in _loops():
            for path in sorted(folder.glob(pattern)):
                archive.writestr(f"{module}/{path.name}", path.read_bytes())
    return data.getvalue()


@cache  # once per process: a worker gets it with each of its tasks
def install(data: bytes) -> None:
    """Put compiled code where Numba looks for it, unless the sources here are others, or it is there.

    Numba itself compares the processor, its version, and the file of each function, but not those of what it calls.
    """
    folders = {(module, pattern): folder for module, folder, pattern in _loops()}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if archive.read(_SOURCES).decode() != _sources():
            return
        # The index of a function, .nbi, refers to its code, .nbc.
        for name in sorted(archive.namelist(), reverse=True):
            for (module, pattern), folder in folders.items():
                path = folder / Path(name).name
                if name.startswith(f"{module}/") and path.match(pattern) and not path.exists():
                    _write(path, archive.read(name))


def _loops() -> Iterator[tuple[str, Path, str]]:
    """Yield the module of each function that is kept when it is compiled, and the folder and pattern of its files."""
    for module in _MODULES:
        for found in vars(module).values():
            folder = getattr(getattr(found, "stats", None), "cache_path", None)
            if folder is not None and found.__module__ == module.__name__:
                line = found.py_func.__code__.co_firstlineno
                stem = module.__name__.rpartition(".")[2]
                yield module.__name__, Path(folder), f"{stem}.{found.__qualname__}-{line}.py*.nb[ci]"


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
