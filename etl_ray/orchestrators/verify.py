"""An OUTPUT held to its newest manifest: every file's bytes and rows, and the account of lines. Nothing is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from etl_ray import storage
from etl_ray.errors import ConfigError, EtlRayError, NotFoundError, StorageError
from etl_ray.orchestrators.manifest import Ledger, Manifest
from etl_ray.orchestrators.messages import from_json
from etl_ray.orchestrators.receipt_files import read_receipts
from etl_ray.orchestrators.receipts import BuiltFile, Counts
from etl_ray.orchestrators.results import read_results
from etl_ray.orchestrators.status import is_balanced, open_output
from etl_ray.progress import Progress, SilentProgress

THREADS = 8
"""Files that are read at once: checksums are computed beside each other, and requests wait for a bucket together."""
_READ_BYTES = 1 << 20
_AT_ONCE = 1_000  # files that are handed to the threads together

Kind = Literal["missing", "size", "checksum", "rows", "unreadable", "not listed", "receipts", "results", "counts"]


@dataclass(frozen=True)
class Difference:
    """Where OUTPUT is not what its manifest says: a path below OUTPUT, what was expected and what was found."""

    kind: Kind
    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class OutputCheck:
    """What was compared with manifest `number`, and all that differs."""

    output: str
    number: int
    run_id: str
    files: int
    bytes: int
    rows: int
    differences: tuple[Difference, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def as_dict(self) -> dict[str, object]:
        """Return all that is known by name, ready for JSON."""
        found = {name: getattr(self, name) for name in ("output", "number", "run_id", "files", "bytes", "rows")}
        return {**found, "is_whole": self.is_whole, "differences": [asdict(item) for item in self.differences]}


def verify(output: str, *, progress: Progress | None = None) -> OutputCheck:
    """Read all files of an OUTPUT and compare them with its newest manifest; ConfigError if there is none."""
    ledger = open_output(output)
    manifest = ledger.latest()
    if manifest is None:
        raise ConfigError(f"{storage.redact(output)} holds no committed run; expected the OUTPUT of `etl-ray run`")
    told = progress if progress is not None else SilentProgress()
    try:
        differences = (
            *_files(ledger, manifest.files, told),
            *_unlisted(ledger, manifest),
            *_accounts(ledger, manifest),
        )
    finally:
        told.done()
    latest = ledger.latest()
    if latest is not None and latest.number != manifest.number:
        raise StorageError(f"another run has changed {storage.redact(output)} while it was read; verify it again")
    return OutputCheck(
        output=storage.redact(output),
        number=manifest.number,
        run_id=manifest.run_id,
        files=len(manifest.files),
        bytes=sum(file.bytes for file in manifest.files),
        rows=sum(file.rows for file in manifest.files),
        differences=differences,
    )


def _files(ledger: Ledger, files: Iterable[BuiltFile], progress: Progress) -> Iterator[Difference]:
    """Yield what differs in files, in their order, as soon as it is known."""
    wanted = tuple(files)
    found = {url.removeprefix(f"{ledger.output}/"): size for url, size in ledger.table_files().items()}
    progress.stage("verify", sum(file.bytes for file in wanted), len(wanted))
    left = iter(wanted)
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(left, _AT_ONCE)):
            checked = pool.map(lambda file: _file(ledger.output, file, found.get(file.path)), some)
            for file, differences in zip(some, checked, strict=True):
                progress.advance(file.bytes, 1)
                yield from differences


def _file(output: str, file: BuiltFile, size: int | None) -> list[Difference]:
    """Return what differs in a file of which `size` is listed (None: it is not)."""
    if size is None:
        return [Difference("missing", file.path, f"{file.bytes:,} bytes", "no file")]
    url = storage.join(output, file.path)
    found: list[Difference] = []
    try:
        if size != file.bytes:
            found.append(Difference("size", file.path, f"{file.bytes:,} bytes", f"{size:,} bytes"))
        elif (digest := file_sha256(url)) != file.sha256:
            found.append(Difference("checksum", file.path, f"SHA-256 {file.sha256}", digest))
        rows = _rows(url)
    except NotFoundError:
        return [Difference("missing", file.path, f"{file.bytes:,} bytes", "no file")]
    except StorageError as error:
        return [*found, Difference("unreadable", file.path, f"{file.rows:,} rows as Parquet", str(error))]
    if rows != file.rows:
        found.append(Difference("rows", file.path, f"{file.rows:,} rows", f"{rows:,} rows"))
    return found


def file_sha256(url: str) -> str:
    """Return the SHA-256 of a file, hexadecimal, read as a stream."""
    digest = hashlib.sha256()
    with storage.open_read(url) as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def _rows(url: str) -> int:
    try:
        with storage.open_read(url) as raw, pq.ParquetFile(raw) as file:
            found: int = file.metadata.num_rows
            return found
    except (pa.ArrowException, OSError) as error:
        raise StorageError(" ".join(str(error).split())) from None


def _unlisted(ledger: Ledger, manifest: Manifest) -> Iterator[Difference]:
    """Yield the files that a reader of the tables would see though the manifest does not list them."""
    listed = {storage.join(ledger.output, file.path) for file in manifest.files}
    for url, size in sorted(ledger.table_files().items()):
        if url not in listed:
            path = url.removeprefix(f"{ledger.output}/")
            yield Difference("not listed", path, "no file", f"{size:,} bytes")


@dataclass(frozen=True)
class _UnitCounts:
    """The part of a receipt that is needed here."""

    counts: Counts


def _accounts(ledger: Ledger, manifest: Manifest) -> Iterator[Difference]:
    """Yield what differs in receipts, in results, and in the account of lines."""
    units = {name for item in manifest.inputs for name in item.units}
    counts, told = Counts(), set()
    for path in manifest.receipts:
        shown = f"_etl_ray/{path}"
        try:
            for unit in read_receipts(storage.join(ledger.own, path), units):
                if unit.name not in told:
                    told.add(unit.name)
                    counts += from_json(_UnitCounts, unit.receipt, f"{shown}, {unit.name}").counts
        except EtlRayError as error:
            yield Difference("receipts", shown, "the receipts of units", str(error))
    if told != units:
        lacking = min(units - told)
        found = f"{len(told):,} of them, none of {lacking}"
        yield Difference("receipts", "_etl_ray", f"receipts of {len(units):,} units", found)
    elif units and counts != manifest.counts:
        shown = f"_etl_ray/manifests/{manifest.number:06d}.json"
        yield Difference("counts", shown, f"the sum of the receipts, {counts}", str(manifest.counts))
    if not is_balanced(manifest.counts):
        shown = f"_etl_ray/manifests/{manifest.number:06d}.json"
        wanted = "lines = accepted + ignored + out_of_range + blank + rejects"
        yield Difference("counts", shown, wanted, str(manifest.counts))
    if manifest.results is not None:
        try:
            read_results(storage.join(ledger.own, manifest.results))
        except EtlRayError as error:
            yield Difference("results", f"_etl_ray/{manifest.results}", "the results of work", str(error))
