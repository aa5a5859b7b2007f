"""The text forms of the config: YAML with the line of each key, and times with all their digits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import yaml

from etl_ray.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Keys from the outermost to the one that is meant."""

NS_PER_S = 1_000_000_000
MAX_NS = 2**63 - 1
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MAX_DEPTH = 8  # deeper than any config; an alias may make YAML endless
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d)))?",
    re.ASCII,
)
_INTERVAL = re.compile(r"([1-9][0-9]*)(ms|s|m|h)")
_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


def interval_ns(text: str) -> int:
    """Return the length that a text such as 100ms, 1s, 5m or 1h tells, -1 if it tells none."""
    match = _INTERVAL.fullmatch(text)
    return int(match[1]) * _UNITS_NS[match[2]] if match and len(text) < 20 else -1


def time_ns(text: str) -> int | None:
    """Return a date (its 00:00 UTC) or an RFC 3339 time in ns UTC, all nine digits kept; None if it is neither.

    Times that do not fit int64 ns from 1970 on, so from 2262-04-11T23:47:16.854775808Z on, are None too.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, hours, minutes, seconds, fraction, sign, *offset = match.groups()
    try:
        days = date.fromisoformat(day).toordinal() - _EPOCH_DAY
    except ValueError:  # no such day
        return None
    total_s = days * 86_400 + int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    if sign:
        offset_s = int(offset[0]) * 3600 + int(offset[1]) * 60
        total_s += offset_s if sign == "-" else -offset_s
    total_ns = total_s * NS_PER_S + int((fraction or "").ljust(9, "0"))
    return total_ns if 0 <= total_ns <= MAX_NS else None


def format_time(ns: int) -> str:
    """Write ns UTC as RFC 3339, without trailing zeros in the fraction."""
    seconds, fraction = divmod(ns, NS_PER_S)
    days, second_of_day = divmod(seconds, 86_400)
    day = date.fromordinal(_EPOCH_DAY + days).isoformat()
    clock = f"{second_of_day // 3600:02}:{second_of_day // 60 % 60:02}:{second_of_day % 60:02}"
    digits = f".{fraction:09}".rstrip("0").rstrip(".")
    return f"{day}T{clock}{digits}Z"


class _Loader(yaml.SafeLoader):
    """A safe loader that leaves times as text, because its own reading of them drops digits."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> tuple[object, dict[KeyPath, int]]:
    """Read one YAML document: its value (None for an empty one), and the line of each key, from 1."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: expected a YAML file, found: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, found byte {error.start} that is none") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: expected YAML, found: {error}") from None
    try:
        node = loader.get_single_node()
        lines = _key_lines(node, path)
        return (None if node is None else loader.construct_document(node)), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: expected YAML, found: {error.problem}") from None
    except ValueError as error:  # a number that looks like one and is none, such as 0x_
        raise ConfigError(f"{path}: expected YAML, found: {error}") from None
    finally:
        loader.dispose()


def _key_lines(node: yaml.Node | None, path: Path, prefix: KeyPath = ()) -> dict[KeyPath, int]:
    """Return the line of every key below `node`; refuse keys that stand twice or are no text."""
    lines: dict[KeyPath, int] = {}
    if not isinstance(node, yaml.MappingNode) or len(prefix) >= _MAX_DEPTH:
        return lines
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        if key_node.tag != "tag:yaml.org,2002:str":
            raise ConfigError(f"{path}:{line}: expected a key that is text, found {key_node.value!r}")
        key = (*prefix, key_node.value)
        if key in lines:
            name = ".".join(str(part) for part in key)
            raise ConfigError(f"{path}:{line}: {name}: expected once, found again (first on line {lines[key]})")
        lines[key] = line
        lines |= _key_lines(value_node, path, key)
    return lines


def line_of(key: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of `key`, or of the nearest key around it; None if the file has none of them."""
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return None
