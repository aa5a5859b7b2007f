"""The results of work after files were merged: each names the file that has its rows now, under the key it has now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import unquote

from etl_ray.config.derived import DerivedConfig
from etl_ray.orchestrators.book_build import BuiltBook
from etl_ray.orchestrators.candle_witness import CandleTask, plan_candle_witness
from etl_ray.orchestrators.derive_plan import DeriveTask, plan_derived
from etl_ray.orchestrators.final_files import content_of
from etl_ray.orchestrators.messages import from_json, to_json
from etl_ray.orchestrators.receipts import Built, BuiltFile
from etl_ray.orchestrators.results import Result, Results, key_of, with_files
from etl_ray.orchestrators.trade_build import BuiltTrades
from etl_ray.orchestrators.witness import WitnessTask, plan_witness
from etl_ray.tables.partitions import partition_keys

_KINDS: dict[str, type[Built] | type[BuiltTrades] | type[BuiltBook]] = {
    "build": Built,
    "trades": BuiltTrades,
    "replay": BuiltBook,
}
"""The stages that write files that are merged, with the types of their results."""


class Merged:
    """Files `before` and `after` a merge; `by_path` tells for each one that is gone which has its rows."""

    def __init__(
        self,
        before: Iterable[BuiltFile],
        after: Iterable[BuiltFile],
        by_path: Mapping[str, BuiltFile],
        semantic: str,
    ) -> None:
        self._by_path = by_path
        derived = DerivedConfig.model_validate(json.loads(semantic).get("derived") or {})
        old, new = _keys(tuple(before), derived), _keys(tuple(after), derived)
        self._keys = dict(zip(old, new, strict=True))

    def results(self, found: Results) -> Iterator[Result]:
        """Yield results with the files and keys that they have now: nothing has to be computed again."""
        for item in found:
            kind = _KINDS.get(item.stage)
            if kind is None:
                _, key = self._keys.get((item.stage, item.key), (item.stage, item.key))
                yield replace(item, key=key)
                continue
            result = from_json(kind, item.result, "a kept result")
            files = tuple(dict.fromkeys(self._by_path.get(file.path, file) for file in result.files))
            yield item if files == result.files else replace(item, result=to_json(with_files(result, files)))


def _keys(files: tuple[BuiltFile, ...], derived: DerivedConfig) -> list[tuple[str, str]]:
    """Return stage and key of all work that reads final files; there may be some that is not asked for."""
    by_product = [file for file in files if "product_id" in (keys := partition_keys(file.path)) and "date" in keys]
    products = {unquote(partition_keys(file.path)["product_id"]) for file in by_product if file.table == "book"}
    tasks: tuple[tuple[str, Iterable[WitnessTask | CandleTask | DeriveTask]], ...] = (
        ("witness", plan_witness(by_product, products)),
        ("candle_witness", plan_candle_witness(by_product)),
        ("derive", plan_derived(by_product, derived)),
    )
    return [(stage, key_of(task.located(content_of))) for stage, found in tasks for task in found]
