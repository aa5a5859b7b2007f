"""What is said about stored files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from etl_ray.errors import ConfigError
from etl_ray.urls import is_local, redact


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A stored file. `version` changes with the content: generation, etag or modification time in ns.

    `modified_ns` is when it was written last (ns UTC), None where the storage does not tell.
    """

    url: str
    size: int
    version: str
    modified_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Listing:
    """What a URL or glob leads to: the files that it names, and those `below` the directories that it names."""

    named: tuple[FileInfo, ...]
    below: tuple[FileInfo, ...]


def local_path(url: str) -> Path:
    """Return the absolute path of a local URL. Percent signs stay: they are part of our directory names."""
    if not is_local(url):
        raise ConfigError(f"expected a local path, found {redact(url)}")
    path = url.partition("://")[2] if "://" in url else url
    return Path(path).expanduser().absolute()
