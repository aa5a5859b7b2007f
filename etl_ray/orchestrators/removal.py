"""What becomes of segments that are committed: archived or deleted, once nothing can be lost by that."""

from __future__ import annotations

import glob
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from etl_ray import storage
from etl_ray.config import JobConfig
from etl_ray.errors import NotFoundError, StorageError
from etl_ray.orchestrators.manifest import Input, Ledger, Manifest
from etl_ray.orchestrators.messages import from_json
from etl_ray.orchestrators.receipt_files import read_receipts
from etl_ray.orchestrators.receipts import Receipt
from etl_ray.orchestrators.refusals import check_output
from etl_ray.orchestrators.removed import note_removed
from etl_ray.readers.segments import Segment

logger = logging.getLogger(__name__)

_THREADS = 4  # buckets: waiting, not work
_COPY_BYTES = 4 << 20


def check_archive(input_urls: Sequence[str], output_url: str, config: JobConfig) -> None:
    """Raise ConfigError unless the archive, INPUT and OUTPUT lie apart from each other."""
    if config.archive_to is None:
        return
    archive = storage.canonical(config.archive_to)
    places = [("INPUT", _root_of(input_url)) for input_url in input_urls]
    for name, place in [*places, ("OUTPUT", storage.canonical(output_url))]:
        check_output(place, archive, names=(name, "--archive-to"))
        check_output(archive, place, names=("--archive-to", name))


def remove_segments(
    segments: Sequence[Segment],
    input_urls: Sequence[str],
    ledger: Ledger,
    config: JobConfig,
    check: Callable[[], None],
) -> int:
    """Archive or delete segments if the config says so and nothing can be lost by it; return how many were.

    A segment stays while it is the newest, damaged, not settled, not committed as it is, has messages beyond the range
    of the run, or may have to be read again. What fails is told as a warning, and tried again by the next run. `check`
    raises if OUTPUT is held no longer.
    """
    if config.after == "keep":
        return 0
    try:
        check()
        manifest = ledger.latest()
        if manifest is None or not ledger.is_whole(manifest):
            logger.warning("no segment is removed: OUTPUT lacks files of its last run")
            return 0
        _put_back(manifest)
        removable = removable_segments(segments, ledger, manifest)
        _tell_pruned(segments, manifest)
        if removable:  # what can be made again of segments is not flushed before
            storage.flush(ledger.own if config.staging.url is None else config.staging.url)
    except StorageError as error:
        logger.warning("no segment is removed: %s", error)
        return 0
    removal = _Removal(config, input_urls, check)
    removed: list[str] = []
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            for segment, is_gone in zip(removable, pool.map(removal.remove, removable), strict=True):
                if is_gone:
                    removed.append(segment.identity)
    finally:
        note_removed(ledger, removed)
    return len(removed)


def removable_segments(segments: Sequence[Segment], ledger: Ledger, manifest: Manifest) -> list[Segment]:
    """Return the segments that a manifest needs no more; whether they have settled is not looked at."""
    newest = max((segment.identity for segment in segments), default="")
    inputs = {item.identity: item for item in manifest.inputs}
    committed = [
        segment
        for segment in segments
        if segment.identity != newest and _is_committed(segment, inputs.get(segment.identity))
    ]
    wanted = {name: inputs[segment.identity] for segment in committed for name in inputs[segment.identity].units}
    sound = _sound_units(ledger, manifest, wanted)
    return [segment for segment in committed if sound.issuperset(inputs[segment.identity].units)]


def _is_committed(segment: Segment, item: Input | None) -> bool:
    return (
        item is not None
        and bool(item.version)
        and bool(item.units)
        and not item.is_pruned
        and (item.size, item.version) == (segment.size, segment.version)
    )


def _sound_units(ledger: Ledger, manifest: Manifest, wanted: Mapping[str, Input]) -> set[str]:
    """Return the units, by name, that were read to their end and have no message beyond the range."""
    sound: dict[str, bool] = {}
    for path in manifest.receipts:
        for row in read_receipts(storage.join(ledger.own, path), wanted):
            receipt = from_json(Receipt, row.receipt)
            sound[row.name] = receipt.damage is None and _is_within(receipt, wanted[row.name])
    return {name for name, is_sound in sound.items() if is_sound}


def _is_within(receipt: Receipt, item: Input) -> bool:
    """Say whether all messages of a unit are in the range of the run: a later range would need the others."""
    is_before = item.start_ns is not None and receipt.ts_min is not None and receipt.ts_min < item.start_ns
    is_behind = item.end_ns is not None and receipt.ts_max is not None and receipt.ts_max >= item.end_ns
    return not is_before and not is_behind


def _tell_pruned(segments: Sequence[Segment], manifest: Manifest) -> None:
    here = {segment.identity for segment in segments}
    count = sum(item.is_pruned and item.identity in here for item in manifest.inputs)
    if count:
        logger.warning(
            "segments left in INPUT: %s, of which runs without --after have kept too little to do without them when a "
            "late segment comes; run once with --overwrite to have them removed",
            f"{count:,}",
        )


class _Removal:
    """Removes one segment after the other, in several threads."""

    def __init__(self, config: JobConfig, input_urls: Sequence[str], check: Callable[[], None]) -> None:
        self._settle_ns = config.settle_ns
        self._archive = None if config.archive_to is None else storage.canonical(config.archive_to)
        self._roots = [f"{storage.canonical(url).rstrip('/')}/" for url in input_urls]
        self._check_held = check
        self._lock = threading.Lock()

    def remove(self, segment: Segment) -> bool:
        """Archive or delete a segment if it has settled and is what was read; tell whether that was done."""
        self._check()
        try:
            return self._remove(segment)
        except StorageError as error:
            logger.warning("%s stays: %s", storage.redact(segment.url), error)
            return False

    def _remove(self, segment: Segment) -> bool:
        try:
            found = storage.file_info(segment.url)
        except NotFoundError:  # somebody else was faster
            return False
        is_settled = found.modified_ns is not None and found.modified_ns < time.time_ns() - self._settle_ns
        if (found.size, found.version) == (segment.size, segment.version):
            if not is_settled:
                return False
            if self._archive is not None:
                archive(segment.url, storage.join(self._archive, self._path(segment)))
                self._check()
            if storage.delete_unchanged(found):
                return True
        logger.warning("%s stays: it has changed since it was read", storage.redact(segment.url))
        return False

    def _check(self) -> None:
        with self._lock:
            self._check_held()

    def _path(self, segment: Segment) -> str:
        """Return the path of a segment below INPUT, its base name where INPUT names files."""
        for root in self._roots:
            if segment.url.startswith(root):
                return segment.url.removeprefix(root)
        return segment.url.rpartition("/")[2]


def archive(url: str, target: str) -> None:
    """Make `target` a copy of a file; one that is there already will do.

    StorageError if it has other content, or is the file itself by another name.
    """
    if not storage.exists(target):
        try:
            with storage.open_read(url) as source, storage.open_write(target, new=True) as copy:
                shutil.copyfileobj(source, copy, _COPY_BYTES)
        except StorageError:
            if not storage.exists(target):  # else somebody was faster, or an answer was lost
                raise
    if storage.is_same_file(url, target):
        raise StorageError(f"{storage.redact(target)} is the segment itself; expected an archive elsewhere")
    if not storage.is_same_content(url, target):
        raise StorageError(
            f"{storage.redact(target)} is there already and differs from {storage.redact(url)}; "
            "look at both, and remove one"
        )


def _put_back(manifest: Manifest) -> None:
    """Repair what a run has left that was killed while it removed segments."""
    identities = {item.identity for item in manifest.inputs}
    folders = {item.url.rpartition("/")[0] for item in manifest.inputs}
    for folder in sorted(folders):
        for aside in storage.put_back(folder, lambda name: name.removesuffix(".gz").removesuffix(".zst") in identities):
            logger.warning("%s: another file has the name that this one had; look at both, and remove one", aside)


def _root_of(input_url: str) -> str:
    """Return the directory or file that INPUT names; of a pattern the directory that all it finds lies below."""
    if storage.exists(input_url) or not glob.has_magic(input_url):
        return storage.canonical(input_url)
    parts = (str(storage.local_path(input_url)) if storage.is_local(input_url) else input_url).split("/")
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return storage.canonical("/".join(parts[:fixed]) or "/")
