"""Where files were cut in earlier runs: they are cut there again, so that what is new makes new files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from etl_ray.orchestrators.results import Results


@dataclass(frozen=True)
class Cuts:
    """What earlier shards began and ended with: pieces of raw tables, and by unit stretches of books.

    `trades` are by product the ascending ids that began a range, or follow the greatest id that there was.
    """

    begins: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    trades: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    book_begins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    book_ends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def between(self, last: str, following: str) -> bool:
        """Say whether a raw table was cut between two pieces that follow each other now."""
        return following in self.begins or last in self.ends


def cuts_of(results: Results) -> Cuts:
    """Return where the work of a committed run was cut."""
    built, replayed = results.cuts("build"), results.cuts("replay")
    trades: dict[str, set[int]] = {}
    for cut in results.cuts("trades"):
        trades.setdefault(cut.scope, set()).update((int(cut.begin), int(cut.end)))
    return Cuts(
        begins=frozenset(cut.begin for cut in built if cut.begin),
        ends=frozenset(cut.end for cut in built if cut.end),
        trades={product: tuple(sorted(found)) for product, found in trades.items()},
        book_begins=_by_unit(cut.begin for cut in replayed),
        book_ends=_by_unit(cut.end for cut in replayed),
    )


def _by_unit(stretches: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for stretch in stretches:
        found.setdefault(stretch.rpartition("#")[0], set()).add(stretch)
    return {unit: tuple(sorted(items)) for unit, items in found.items()}
