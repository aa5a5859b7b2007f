"""How URLs of stored files are taken apart, put together and shown."""

from __future__ import annotations

import posixpath
import re

_QUERY = re.compile(r"[?#].*", re.DOTALL)


def is_local(url: str) -> bool:
    """Tell whether `url` is a path or `file://` URL of this machine."""
    scheme, separator, _ = url.partition("://")
    return not separator or scheme in ("file", "local")


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
