"""A stage of many items: what is known from before is used again, the rest is done on an engine, both are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, runtime_checkable

from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.finished import finished_item
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.results import NO_CUT, Cut, HasFiles, Result, Results, renumbered, with_files
from etl_ray.orchestrators.work import Stage
from etl_ray.progress import Progress

Found = TypeVar("Found")


@dataclass(frozen=True)
class Item:
    """A packed record to work on, its weight in bytes, and the digest of all that decides about its result.

    Without a key it is done in every run. Files that are used again become the `number`-th of their directories (None:
    they keep their names).
    """

    packed: bytes
    weight: int
    key: str | None = None
    cut: Cut = NO_CUT
    number: int | None = None


@dataclass
class Memory:
    """The results of the run before, of which files are `there` (sizes by path below OUTPUT), and those of this run.

    `moved` tells of files that get another name where they stood: old paths by new ones.
    """

    results: Results = field(default_factory=Results)
    there: Mapping[str, int] = field(default_factory=dict)
    kept: dict[tuple[str, str], Result] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)

    def recall(self, stage: Stage, kind: type[Found], items: Sequence[Item]) -> dict[str, Found]:
        """Return the results of items that can be used again, by key."""
        numbers = {item.key: item.number for item in items if item.key is not None}
        known = self.results.usable(stage, kind, numbers.keys(), self.there)
        placed: dict[str, int | None] = {}
        for key, number in numbers.items():
            result = known.get(key)
            for file in result.files if isinstance(result, HasFiles) else ():
                placed.setdefault(file.path, number)  # of several results in a file the first one decides
        return {key: self._placed(result, placed) for key, result in known.items()}

    def _placed(self, result: Found, placed: Mapping[str, int | None]) -> Found:
        if not isinstance(result, HasFiles):
            return result
        files = []
        for file in result.files:
            number = placed[file.path]
            found = file if number is None else renumbered(file, number)
            if found.path != file.path:
                self.moved[found.path] = file.path
            files.append(found)
        return with_files(result, tuple(files))

    def keep(self, stage: Stage, item: Item, result: object) -> None:
        """Remember a result for the next run."""
        if item.key is not None:
            self.kept[stage, item.key] = Result(stage, item.key, item.cut, to_json(result))


@runtime_checkable
class _HasNumber(Protocol):
    number: int


def _numbered(result: Found, number: int | None) -> Found:
    """Return a result as that of the `number`-th item."""
    if number is None or not isinstance(result, _HasNumber) or result.number == number:
        return result
    return replace(result, number=number)  # type: ignore[type-var]  # results are frozen dataclasses


@dataclass(frozen=True)
class Stages:
    """Does one stage after the other."""

    engine: Engine
    progress: Progress
    memory: Memory = field(default_factory=Memory)

    def missing(self, stage: Stage, items: Sequence[Item], kind: type[object]) -> list[int]:
        """Return the indices of the items whose results are not known from before."""
        known = self.memory.recall(stage, kind, items)
        return [index for index, item in enumerate(items) if item.key is None or item.key not in known]

    def run(
        self,
        stage: Stage,
        options: object,
        items: Sequence[Item],
        kind: type[Found],
        *,
        shown: str | None = None,
    ) -> list[Found]:
        """Return what comes of the items, in their order.

        `options` is the record that they share, `shown` the name that people see, if not that of the stage.
        """
        if not items:
            return []
        known = self.memory.recall(stage, kind, items)
        found: dict[int, Found] = {
            index: known[item.key] for index, item in enumerate(items) if item.key is not None and item.key in known
        }
        todo = [index for index in range(len(items)) if index not in found]
        if todo:
            self.progress.stage(shown or stage, 0, len(todo))
            work = [(items[index].packed, items[index].weight) for index in todo]
            for position, done in self.engine.run(stage, to_json(options), work):
                result = from_json(kind, done)
                found[todo[position]] = result
                finished = finished_item(result)
                self.engine.count(shown or stage, finished)
                self.progress.advance(finished.written_bytes, 1)
            self.progress.done()
        for index, item in enumerate(items):
            found[index] = _numbered(found[index], item.number)
            self.memory.keep(stage, item, found[index])
        return [found[index] for index in range(len(items))]
