"""Tables computed again from the tables of a committed OUTPUT, into a place of their own."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import ConfigError, LockedError
from etl_ray.orchestrators.derive_plan import DeriveOptions
from etl_ray.orchestrators.derive_stage import derive_all
from etl_ray.orchestrators.engines import choose_engine
from etl_ray.orchestrators.lock import exclusive
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest
from etl_ray.orchestrators.publishing import publish
from etl_ray.orchestrators.rebook_stage import rebook_all
from etl_ray.orchestrators.receipts import BuiltFile, Counts
from etl_ray.orchestrators.refusals import check_output, differences
from etl_ray.orchestrators.stages import Stages
from etl_ray.progress import Progress
from etl_ray.summary import ReprocessSummary
from etl_ray.tables import MARKET_TRADES, TABLES, Numbers
from etl_ray.tables.partitions import encode_value
from etl_ray.version import __version__

_READ = ("market_trades", "level2", "book", "book_checkpoints", "coverage")


@dataclass(frozen=True)
class Source:
    """A committed OUTPUT, and what its config says of the tables that are read."""

    ledger: Ledger
    manifest: Manifest
    numbers: Numbers
    channels: Mapping[str, Mapping[str, object]]

    @property
    def level2(self) -> Mapping[str, object]:
        """The options of `level2`."""
        return cast("Mapping[str, object]", self.channels.get("level2", {}).get("processor_options", {}))

    @property
    def has_messages(self) -> bool:
        """Whether `book` has a row after each message."""
        return bool(self.level2.get("reconstruct_lob")) and self.level2.get("emit") == "message"

    def check_unchanged(self) -> None:
        """Raise LockedError if OUTPUT has another state by now: files of both may have been read."""
        latest = self.ledger.latest()
        if latest is None or (latest.number, latest.run_id) != (self.manifest.number, self.manifest.run_id):
            raise LockedError(
                f"another run has replaced tables of {storage.redact(self.ledger.output)} while they were read; "
                "start again"
            )


def open_source(output_url: str) -> Source:
    """Read what is committed in OUTPUT; ConfigError if that is nothing, or not all there."""
    ledger = Ledger(storage.canonical(output_url))
    manifest = ledger.latest()
    name = storage.redact(output_url)
    if manifest is None:
        raise ConfigError(f"{name} holds no committed run; expected the OUTPUT of `etl-ray run`")
    semantic = json.loads(manifest.semantic)
    if "channels" not in semantic:
        raise ConfigError(f"{name} was itself made by `etl-ray reprocess`; expected the OUTPUT of `etl-ray run`")
    if not ledger.is_whole(manifest):
        raise ConfigError(f"{name} lacks files of its last run; run `etl-ray run` on it again first")
    return Source(ledger, manifest, semantic["numbers"], semantic["channels"])


def reprocess(
    output_url: str, dest_url: str, config: JobConfig, progress: Progress, *, books: bool = False
) -> ReprocessSummary:
    """Compute the derived tables that the config asks for, and with `books` also `book`, from OUTPUT into DEST.

    Numbers, and whether beats were trusted, are those of OUTPUT; products limit what is read. DEST is committed like an
    OUTPUT, and replaced only if the config says overwrite.
    """
    started_s = time.monotonic()
    source = open_source(output_url)
    check_output(output_url, dest_url, names=("OUTPUT", "DEST"))
    check_output(dest_url, output_url, names=("DEST", "OUTPUT"))
    _check_asked(source, config, books=books)
    ledger = Ledger(storage.canonical(dest_url))
    ledger.check_owner()
    storage.make_root(ledger.own)
    with exclusive(ledger.own, break_lock=config.break_lock, note=progress.note) as hold:
        storage.delete_temporary(ledger.output)
        latest = ledger.latest()
        if latest is not None:
            publish(ledger, latest, hold.check, progress.note)
        run = _Run(source, ledger, latest, config, progress, books=books)
        unchanged = latest is not None and latest.run_id == run.id and ledger.is_whole(latest)
        if latest is not None and not unchanged and not config.overwrite:
            found = "; ".join(differences(json.loads(latest.semantic), run.semantic))
            raise ConfigError(
                f"DEST {storage.redact(dest_url)} was made otherwise: {found or 'by another version of etl-ray'}. "
                "Give another DEST, or --overwrite to replace it"
            )
        manifest = latest if latest is not None and unchanged else run.execute(hold.check)
        storage.delete_tree(storage.join(ledger.own, "runs"))
    rows: Counter[str] = Counter()
    for file in manifest.files:
        rows[file.table] += file.rows
    return ReprocessSummary(
        rows={table: rows[table] for table in TABLES if rows[table]},
        files=len(manifest.files),
        seconds=time.monotonic() - started_s,
        output=storage.redact(dest_url),
        run_id=manifest.run_id,
        findings=manifest.findings,
        unchanged=unchanged,
    )


def _check_asked(source: Source, config: JobConfig, *, books: bool) -> None:
    """Raise ConfigError if nothing is asked for, or OUTPUT does not have what it takes."""
    derived = config.derived
    name = storage.redact(source.ledger.output)
    if not derived.is_asked and not books:
        raise ConfigError("nothing to compute: expected --bars, --join-books, --features, --books or a config")
    trades = source.channels.get(MARKET_TRADES.name)
    if derived.is_asked and (trades is None or trades["processors"] or set(_cols(trades)) != {"product_id", "date"}):
        raise ConfigError(
            f"{name}: expected market_trades by product_id and date, without processors of your own; found "
            + ("no such table" if trades is None else f"it by {', '.join(_cols(trades)) or 'nothing'}")
        )
    if derived.features is not None and not source.level2.get("compute_features"):
        raise ConfigError(f"{name}: features need the order flow of book; expected compute_features: true, found false")
    known = {part for file in source.manifest.files for part in file.path.split("/") if part.startswith("product_id=")}
    strange = [product for product in config.products if f"product_id={encode_value(product)}" not in known]
    if strange:
        raise ConfigError(f"{name} has no product {strange[0]}; expected one that it has tables of")
    if (derived.needs_books or books) and not source.has_messages:
        raise ConfigError(f"{name}: expected a table book with a row after each message (emit: message), found none")


def _cols(channel: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(cast("list[str]", channel["partition_cols"]))


class _Run:
    """One computation from a source into a ledger."""

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        latest: Manifest | None,
        config: JobConfig,
        progress: Progress,
        *,
        books: bool,
    ) -> None:
        self._source, self._ledger, self._latest = source, ledger, latest
        self._config, self._progress, self._books = config, progress, books
        self.semantic: dict[str, object] = {
            "reprocessed": source.manifest.run_id,
            "derived": config.derived.semantic(),
            "book": config.level2.model_dump(mode="json", exclude={"trust_beat"}) if books else None,
            "products": sorted(config.products),
            "rows_per_group": config.staging.rows_per_group,
        }
        parts = json.dumps([__version__, self.semantic], sort_keys=True)
        self.id = hashlib.sha256(parts.encode()).hexdigest()[:16]

    def execute(self, check: Callable[[], None]) -> Manifest:
        """Compute everything and commit it."""
        number = 1 if self._latest is None else self._latest.number + 1
        target = self._ledger.waiting_room(self.id, number)
        read = [file for file in self._source.manifest.files if file.table in _READ and self._is_selected(file)]
        engine = choose_engine(self._config, sum(file.bytes for file in read), self._progress.note)
        try:
            files, findings = self._compute(read, target, Stages(engine, self._progress))
        finally:
            engine.close()
        source = self._source
        source.check_unchanged()
        manifest = Manifest(
            number=number,
            run_id=self.id,
            program=__version__,
            semantic=json.dumps(self.semantic, sort_keys=True),
            semantic_hash=hashlib.sha256(json.dumps(self.semantic, sort_keys=True).encode()).hexdigest(),
            start_ns=source.manifest.start_ns,
            end_ns=source.manifest.end_ns,
            sources=(storage.redact(source.ledger.output),),
            inputs=(
                Input(
                    identity=f"manifest {source.manifest.number:06d}",
                    url=storage.redact(source.ledger.output),
                    size=sum(file.bytes for file in read),
                    version=source.manifest.run_id,
                ),
            ),
            files=tuple(sorted(files, key=lambda file: file.path)),
            counts=Counts(),
            messages={},
            damaged=(),
            findings=findings,
        )
        check()
        self._ledger.commit(manifest)
        publish(self._ledger, manifest, check, self._progress.note)
        return manifest

    def _compute(
        self, read: Iterable[BuiltFile], target: str, stages: Stages
    ) -> tuple[tuple[BuiltFile, ...], tuple[str, ...]]:
        """Return the files, and which products have no book."""
        source = self._source
        books: tuple[BuiltFile, ...] = ()
        refused: tuple[str, ...] = ()
        if self._books:
            books, refused = rebook_all(
                source.manifest,
                source.ledger.output,
                target,
                self._config,
                stages,
            )
        options = DeriveOptions(
            input=source.ledger.output,
            output=target,
            numbers=source.numbers,
            rows_per_group=self._config.staging.rows_per_group,
            derived=self._config.derived,
        )
        return (*books, *derive_all(read, options, stages)), refused

    def _is_selected(self, file: BuiltFile) -> bool:
        products = {f"product_id={encode_value(product)}" for product in self._config.products}
        return not products or file.table == "coverage" or not products.isdisjoint(file.path.split("/"))
