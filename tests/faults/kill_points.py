"""The points at which runs are killed: each failpoint with each kind of file, so that no kind of step is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_KINDS = (
    (r"output/_etl_ray/staged/[0-9]+/receipts/.*", "staged receipt"),
    (r"output/_etl_ray/staged/[0-9]+/book/composed/.*", "composed book"),
    (r"output/_etl_ray/staged/[0-9]+/(?:book/)?(?P<what>[a-z0-9_]+)/.*", "staged {what}"),
    (r"output/_etl_ray/staged(/[0-9]+)?", "staged pieces"),
    (r"output/_etl_ray/runs/[0-9a-f]+/tables-[0-9]+/(?P<what>[a-z0-9_]+)/.*", "waiting {what}"),
    (r"output/_etl_ray/runs(/[0-9a-f]+/tables-[0-9]+)?", "waiting room"),
    (r"output/_etl_ray/manifests/.*", "manifest"),
    (r"output/_etl_ray/receipts/.*", "packed receipts"),
    (r"output/_etl_ray/results/.*", "results"),
    (r"output/_etl_ray/removed/.*", "note of a removal"),
    (r"output/_etl_ray/(lock|lease).*", "lease"),
    (r"output/_etl_ray/\.probe\.tmp", "probe"),
    (r"output", "temporary files"),
    (r"output/(?P<what>[a-z][a-z0-9_]*)/.*", "table {what}"),
    (r"input/.*", "segment"),
    (r"archive/.*", "archived segment"),
)
_TABLES = re.compile(r"(staged|waiting|table) (?!receipt|room|pieces).*")

_EACH = ("write.whole", "move.before", "move.after")


@dataclass(frozen=True)
class Point:
    """The `number`-th point that a run reaches, from 1 on: its name, and the file below the place of the trial."""

    number: int
    name: str
    path: str

    @property
    def kind(self) -> str:
        """Return the kind of the file."""
        for pattern, kind in _KINDS:
            match = re.fullmatch(pattern, self.path)
            if match is not None:
                return kind.format(**match.groupdict())
        raise ValueError(f"{self.name} {self.path}: expected a file of a known kind")

    @property
    def setting(self) -> str:
        """Return how to have a process killed here."""
        # Segments are removed by several threads, so numbers tell nothing there.
        by_name = self.path.startswith(("input/", "archive/"))
        return f"kill:{self.name}:{self.path}" if by_name else f"kill:{self.number}"

    def __str__(self) -> str:
        return f"{self.name} of {self.kind}: {self.path}"


def read_points(log: Path, place: Path) -> list[Point]:
    """Read what a run with the setting `log:` has reached; URLs of a bucket are those of its directory."""
    points = []
    for number, line in enumerate(log.read_text().splitlines(), 1):
        name, _, url = line.partition(" ")
        path = "/" + url.partition("://")[2].lstrip("/") if "://" in url else url
        points.append(Point(number, name, str(Path(path).relative_to(place))))
    return points


def choose(points: Sequence[Point], *, by_table: bool) -> list[Point]:
    """Return a point for each name and kind; the kinds of all tables are one unless `by_table`, and in `_EACH`.

    Of several the first, the last, and one between them take turns.
    """
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        kind = point.kind if by_table and point.name in _EACH else _TABLES.sub(r"\1", point.kind)
        found.setdefault((point.name, kind), []).append(point)
    chosen = {
        same[(0, len(same) - 1, len(same) // 2)[position % 3]].number: position
        for position, same in enumerate(found.values())
    }
    return [point for point in points if point.number in chosen]
