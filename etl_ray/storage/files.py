"""What is said about stored files, and how URLs are taken apart and put together."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from etl_ray.errors import ConfigError

_QUERY = re.compile(r"[?#].*", re.DOTALL)


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


def is_local(url: str) -> bool:
    """Tell whether `url` is a path or `file://` URL of this machine."""
    scheme, separator, _ = url.partition("://")
    return not separator or scheme in ("file", "local")


def local_path(url: str) -> Path:
    """Return the absolute path of a local URL. Percent signs stay: they are part of our directory names."""
    if not is_local(url):
        raise ConfigError(f"expected a local path, found {redact(url)}")
    path = url.partition("://")[2] if "://" in url else url
    return Path(path).expanduser().absolute()


def join(url: str, *parts: str) -> str:
    """Append path `parts` to `url`."""
    return posixpath.join(url, *(part.strip("/") for part in parts))


def redact(url: str) -> str:
    """Return `url` without user, password and query, for messages."""
    if is_local(url):
        return url
    # Not by urlsplit, which refuses brackets in the place of a host.
    scheme, _, rest = url.partition("://")
    host, slash, path = _QUERY.sub("", rest).partition("/")
    return f"{scheme.lower()}://{host.rpartition('@')[2]}{slash}{path}"
