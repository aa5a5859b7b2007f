"""Deleting a file only if it is still what it was, as far as the storage can promise that.

On local disks a file steps aside first, under a hidden name in its directory, is looked at there, and is deleted or
gets its name back: whoever writes by its name from then on makes another file. Google's storage and S3 compare and
delete in one request. Elsewhere there is a moment between the look and the deletion.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from etl_ray.errors import StorageError
from etl_ray.storage import local, remote
from etl_ray.storage.access import AMAZON, GOOGLE, AmazonStorage, GoogleStorage, filesystem, scheme_of
from etl_ray.storage.failpoints import reach
from etl_ray.storage.files import FileInfo, local_path
from etl_ray.storage.refusals import is_unmet_condition
from etl_ray.storage.retries import persist
from etl_ray.urls import is_local

_ASIDE = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.removing", re.DOTALL)


def delete_unchanged(found: FileInfo) -> bool:
    """Delete a file if it still has the size and version that were found; else leave it, and return False.

    NotFoundError if it is not there. What is left of a deletion that was killed, `put_back` repairs.
    """
    reach("delete.before", found.url)
    deleted = _delete_local(found) if is_local(found.url) else _delete_remote(found)
    reach("delete.after", found.url)
    return deleted


def put_back(folder: str, is_ours: Callable[[str], bool]) -> list[str]:
    """Give files of a directory that stand aside their names back, if these are `is_ours`.

    Nobody may be deleting there. Return the paths of those whose names are taken by others.
    """
    if not is_local(folder):  # where files do not step aside
        return []

    def look() -> list[str]:
        try:
            return sorted(os.listdir(local_path(folder)))  # noqa: PTH208  # names, not paths
        except (FileNotFoundError, NotADirectoryError):
            return []

    taken: list[str] = []
    for name in persist("look at", folder, look):
        match = _ASIDE.fullmatch(name)
        if match is not None and is_ours(match["name"]):
            aside = local_path(folder) / name
            if not _name_back(aside, aside.with_name(match["name"])):
                taken.append(str(aside))
    return taken


def _delete_local(found: FileInfo) -> bool:
    path = local_path(found.url)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.removing")
    persist("delete", found.url, local.renaming(path, aside))
    reach("delete.aside", found.url)
    try:
        is_same = persist("look at", str(aside), lambda: local.info(aside)) == _at(aside, found)
        is_taken = os.path.lexists(path)
    except StorageError:
        _name_back(aside, path)
        raise
    if is_same and not is_taken:
        persist("delete", found.url, aside.unlink)
        return True
    if not _name_back(aside, path):
        raise StorageError(
            f"cannot delete {path}: another file has taken its name meanwhile, the one before is {aside}; "
            "look at both, and remove one"
        )
    return False


def _at(path: Path, found: FileInfo) -> FileInfo:
    return FileInfo(str(path), found.size, found.version)


def _name_back(aside: Path, path: Path) -> bool:
    """Give a file its name back unless another has it; tell whether that was done."""

    def name() -> bool:
        if os.path.lexists(path) and not _are_one(aside, path):
            return False
        try:
            os.link(aside, path, follow_symlinks=False)
        except FileExistsError:
            if not _are_one(aside, path):
                return False
        except OSError as error:
            if error.errno not in local.NO_HARD_LINKS:
                raise
            aside.rename(path)
        with suppress(FileNotFoundError):
            aside.unlink()
        return True

    return persist("move", str(aside), name)


def _are_one(aside: Path, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.lstat(aside), os.lstat(path))
    return False


def _delete_remote(found: FileInfo) -> bool:
    fs, path = filesystem(found.url)
    scheme = scheme_of(found.url)
    if scheme in GOOGLE:
        google = cast(GoogleStorage, fs)
        return _delete_once(found, lambda: _delete_generation(google, path, found.version))
    if scheme in AMAZON:
        amazon = cast(AmazonStorage, fs)
        return _delete_once(found, lambda: _looks_same(found) and _delete_tagged(amazon, path, found.version))

    def delete() -> bool:
        if not _looks_same(found):
            return False
        fs.rm_file(path)
        return True

    return persist("delete", found.url, delete)


def _looks_same(found: FileInfo) -> bool:
    return remote.info(found.url, remote.look(found.url)) == found


def _delete_once(found: FileInfo, attempt: Callable[[], bool]) -> bool:
    deleting = False

    def delete() -> bool:
        nonlocal deleting
        repeated, deleting = deleting, True
        try:
            return attempt()
        except FileNotFoundError:
            if not repeated:  # else an answer may have been lost
                raise
        return True

    return persist("delete", found.url, delete)


def _delete_generation(fs: GoogleStorage, path: str, generation: str) -> bool:
    bucket, key, _ = fs.split_path(path)
    try:
        fs.call("DELETE", "b/{}/o/{}", bucket, key, ifGenerationMatch=generation)
    except OSError as error:
        if not is_unmet_condition(error):
            raise
        return False
    return True


def _delete_tagged(fs: AmazonStorage, path: str, etag: str) -> bool:
    bucket, key, _ = fs.split_path(path)
    try:
        fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
    except OSError as error:
        if not is_unmet_condition(error):
            raise
        return False
    return True
