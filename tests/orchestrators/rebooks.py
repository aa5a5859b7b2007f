"""Books of an output computed again, in this process, with every record going through JSON as on Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from etl_ray.config import JobConfig
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.rebook import RebookOptions, RebuiltBook, rebook
from etl_ray.orchestrators.rebook_cut import CutOptions, cut_book
from etl_ray.orchestrators.rebook_plans import CutBook, RebookPlan, RebookShard, plan_rebooks
from etl_ray.tables.book import book_rows_per_group
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import rows_of, table_files_of


def manifest_of(output: Path) -> Manifest:
    """Return what is committed in an output."""
    found = Ledger(str(output)).latest()
    assert found is not None
    return found


def compute_again(source: Path, target: Path, config: JobConfig) -> list[RebuiltBook]:
    """Write the books of a committed output to another place, as the config asks for; return the shards."""
    level2 = config.level2
    plans = plan_rebooks(manifest_of(source), str(source), level2.columns)
    assert plans.refused == ()
    options = RebookOptions(
        source=str(source),
        output=str(target),
        rows_per_group=book_rows_per_group(config.staging.rows_per_group, level2.columns),
        columns=level2.columns,
        interval_ns=level2.interval_ns,
        skip_empty=level2.skip_empty,
    )
    return [
        from_json(RebuiltBook, to_json(rebook(from_json(RebookShard, to_json(shard)), options)))
        for plan in plans.plans
        for shard in _cut(plan, source, level2.interval_ns)
    ]


def _cut(plan: RebookPlan, source: Path, interval_ns: int) -> tuple[RebookShard, ...]:
    options = CutOptions(str(source), interval_ns)
    return from_json(CutBook, to_json(cut_book(from_json(RebookPlan, to_json(plan)), options))).shards


def overrides(level2: Mapping[str, object], **others: object) -> dict[str, object]:
    """Return the part of a config that says how books are made."""
    return {"channels": {"level2": {"processor_options": dict(level2)}}, **others}


def books_of(output: Path) -> dict[str, bytes]:
    """Return the files of `book` and `book_checkpoints`."""
    return {name: data for name, data in table_files_of(output).items() if name.startswith("book")}


def book_rows(output: Path) -> list[dict[str, object]]:
    return sorted(
        rows_of(output, "book"),
        key=lambda row: (row["product_id"], row["segment"], row["line"], row.get("ts_end")),  # type: ignore[arg-type, return-value]
    )


class Runs:
    """Runs over one recording, each made once."""

    def __init__(self, recording: Path, place: Path) -> None:
        self._recording, self._place = recording, place
        self._done: dict[str, Path] = {}

    def of(self, given: Mapping[str, object]) -> Path:
        """Return the output of a run with these parts of a config."""
        key = json.dumps(given, sort_keys=True)
        if key not in self._done:
            self._done[key] = self._place / str(len(self._done))
            run(self._recording, self._done[key], **given)
        return self._done[key]

    def assert_computed(self, stored: Mapping[str, object], wanted: Mapping[str, object], place: Path) -> int:
        """Hold books that are computed again to those of a run, byte by byte; return the number of their rows."""
        expected = self.of(wanted)
        compute_again(self.of(stored), place, config(**wanted))
        assert book_rows(place) == book_rows(expected)
        assert books_of(place) == books_of(expected)
        return len(book_rows(expected))
