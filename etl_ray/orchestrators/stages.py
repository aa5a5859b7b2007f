"""A stage of many items: done on an engine, followed on a line of progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from etl_ray.orchestrators.engines import Engine
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.work import Stage
from etl_ray.progress import Progress

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stages:
    """Does one stage after the other."""

    engine: Engine
    progress: Progress

    def run(
        self,
        stage: Stage,
        options: object,
        items: Sequence[tuple[bytes, int]],
        result: type[Result],
        *,
        shown: str | None = None,
    ) -> list[Result]:
        """Return what comes of the items, which are packed records with their weights in bytes, in any order.

        `options` is the record that they share, `shown` the name that people see, if not that of the stage.
        """
        if not items:
            return []
        self.progress.stage(shown or stage, 0, len(items))
        found = []
        for done in self.engine.run(stage, to_json(options), items):
            found.append(from_json(result, done))
            self.progress.advance(0, 1)
        self.progress.done()
        return found
