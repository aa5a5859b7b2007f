"""New files beside old ones, out of sight, until all are complete; then they take their place."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from etl_ray import storage
from etl_ray.errors import ConfigError, StorageError
from etl_ray.tables import TABLES
from etl_ray.tables.partitions import is_hidden

_SUFFIX = ".parquet"
_JOB = "_etl_ray"  # beside the tables that the job commits; a table of its lies at most two directories higher
_JOB_DEPTH = 3


def existing_files(output_path: str) -> list[str]:
    """Return the Parquet files below a directory, but for those that readers pass over."""
    if not storage.exists(output_path):
        return []
    listing = storage.search(output_path)
    root = _absolute(output_path)
    return sorted(
        info.url
        for info in listing.below
        if info.url.endswith(_SUFFIX) and not any(map(is_hidden, info.url.removeprefix(root).split("/")))
    )


def refuse_file(output_path: str) -> None:
    """Raise ConfigError if there is a file where the directory should be."""
    if storage.exists(output_path) and storage.search(output_path).named:
        raise ConfigError(f"output_path {storage.redact(output_path)} is a file; expected a directory")


def refuse_existing(output_path: str) -> None:
    """Raise ConfigError if there are Parquet files already."""
    found = existing_files(output_path)
    if found:
        raise ConfigError(
            f"output_path {storage.redact(output_path)} holds {len(found):,} Parquet files, the first is "
            f'{storage.redact(found[0])}; expected none. Write elsewhere, or replace them with mode="overwrite"'
        )


def refuse_job_output(output_path: str) -> None:
    """Raise ConfigError if `output_path` holds tables that the job has committed, or is in one."""
    parts = _absolute(output_path).split("/")
    for depth in range(min(_JOB_DEPTH, len(parts) - 1) + 1):
        root, inside = parts[: len(parts) - depth], parts[len(parts) - depth :]
        is_table = not inside or inside[0] in TABLES
        if is_table and storage.exists("/".join([*root, _JOB])):
            raise ConfigError(
                f"output_path {storage.redact(output_path)} belongs to the tables that `etl-ray run` has committed to "
                f"{storage.redact('/'.join(root))}; expected another directory"
            )


def _absolute(url: str) -> str:
    return str(storage.local_path(url)) if storage.is_local(url) else url.rstrip("/")


class Staging:
    """A directory within the output that listings pass over. Whatever goes wrong before `publish`, nothing is left."""

    def __init__(self, output_path: str) -> None:
        self.url = storage.join(_absolute(output_path), f".etl_ray-{secrets.token_hex(8)}")
        self._output = _absolute(output_path)
        self._new_folders: list[Path] = []
        self._is_kept = False

    def __enter__(self) -> Staging:
        if storage.is_local(self._output):
            path = storage.local_path(self._output)
            self._new_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_kept:
            return
        with suppress(StorageError):
            storage.delete_tree(self.url)
        if error is not None:
            for folder in self._new_folders:
                with suppress(OSError):
                    folder.rmdir()

    def publish(self, files: Sequence[str]) -> tuple[str, ...]:
        """Move files to their place, where no others may be; return their URLs."""
        refuse_existing(self._output)
        published: list[str] = []
        try:
            for file in files:
                published.append(self._place(file))
                storage.move(file, published[-1])
        except BaseException:
            for url in published:
                with suppress(StorageError):
                    storage.delete(url)
            self._remove_empty(published)
            raise
        return tuple(published)

    def replace(self, files: Sequence[str]) -> tuple[str, ...]:
        """Delete all Parquet files of the output and move the new ones to their place; return their URLs."""
        old = existing_files(self._output)
        self._is_kept = True
        try:
            for url in old:
                storage.delete(url)
            for file in files:
                storage.move(file, self._place(file))
        except StorageError as error:
            raise StorageError(
                f"{error}. All new files are complete: those that are not yet in place lie in "
                f"{storage.redact(self.url)}. Some of the {len(old):,} old ones are deleted. Write again, or move them"
            ) from None
        self._is_kept = False
        self._remove_empty(old)
        return tuple(self._place(file) for file in files)

    def _place(self, file: str) -> str:
        return storage.join(self._output, file.removeprefix(self.url))

    def _remove_empty(self, files: Sequence[str]) -> None:
        """Remove the directories of deleted files that are empty now; buckets have none."""
        if not storage.is_local(self._output):
            return
        root = storage.local_path(self._output)
        for file in files:
            for folder in storage.local_path(file).parents:
                if folder == root:
                    break
                with suppress(OSError):
                    folder.rmdir()
