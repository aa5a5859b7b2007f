"""Every exception that etl-ray raises on purpose.

    EtlRayError
    ├── ConfigError       an option, a config key or INPUT/OUTPUT is wrong; nothing was read; exit code 2
    ├── SegmentError      one segment cannot be read to its end; the others go on; exit code 3
    ├── SchemaError       data that does not have the columns its table asks for
    ├── StorageError      the storage refused a read or a write; nothing was committed; exit code 1
    │   └── NotFoundError nothing is stored under the URL
    │       └── MissingBucketError  nor is there a bucket; exit code 2
    ├── ClusterError      no node of the cluster can do the work; nothing was committed; exit code 1
    ├── WrongInputError   more than half of the lines were rejected; nothing was committed; exit code 1
    └── LockedError       another run holds OUTPUT; exit code 4

Each keeps all its arguments in ``args``, so that it survives pickling on its way through Ray.
"""

from __future__ import annotations


class EtlRayError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ConfigError(EtlRayError):
    """An option, a config key, INPUT or OUTPUT is wrong; raised before anything is read."""

    exit_code = 2


class SegmentError(EtlRayError):
    """A segment ends in damage: `path`, the `offset` in unpacked bytes up to which it was read, and the `reason`."""

    exit_code = 3

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(path, offset, reason)
        self.path = path
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: damaged after {self.offset:,} unpacked bytes: {self.reason}"


class SchemaError(EtlRayError):
    """Columns that differ from what a table asks for."""


class StorageError(EtlRayError):
    """The storage refused a read or a write that the run cannot do without."""


class NotFoundError(StorageError):
    """Nothing is stored under the URL."""


class MissingBucketError(NotFoundError):
    """There is no bucket of the name in the URL, or none that these credentials may know of."""

    exit_code = 2


class ClusterError(EtlRayError):
    """No node of the cluster has, or within the time that a run waits gets, what a task asks for."""


class WrongInputError(EtlRayError):
    """More than half of the lines were rejected: INPUT is probably not what the job was meant for."""


class LockedError(EtlRayError):
    """Another run holds OUTPUT."""

    exit_code = 4
