"""A job on a storage that fails every so many calls: tried again, the tables are those of an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from gcsfs.retry import HttpError

from etl_ray import storage
from etl_ray.errors import StorageError
from etl_ray.storage import retries
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, table_files_of
from tests.storage.flaky import Faults, FlakyFileSystem, mounted, stored

INPUT = "flaky://bucket/in"
OUTPUT = "flaky://bucket/out"
NEVER = 10**9


def busy() -> Exception:
    return HttpError({"code": 503, "message": "busy"})


def forbidden() -> Exception:
    return HttpError({"code": 403, "message": "no"})


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses, which nobody waits for."""
    found: list[float] = []
    monkeypatch.setattr(retries, "pause", found.append)
    return found


@pytest.fixture(scope="module")
def wanted(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of an undisturbed run on a local disk."""
    output = tmp_path_factory.mktemp("undisturbed") / "tables"
    run(sample_dir, output, **FEW)
    return table_files_of(output)


def copied_input(sample_dir: Path) -> None:
    for path in sorted(sample_dir.glob("*.ndjson*")):
        storage.write_bytes(f"{INPUT}/{path.name}", path.read_bytes())


def tables() -> dict[str, bytes]:
    """Return the content of every file of OUTPUT that is not below `_etl_ray`."""
    root = "/bucket/out/"
    found = {name.removeprefix(root): data for name, data in stored().items() if name.startswith(root)}
    return {name: data for name, data in found.items() if not name.startswith(OWN)}


@pytest.mark.parametrize("every", [3, 10])
def test_failures_that_pass_change_nothing(
    every: int, sample_dir: Path, wanted: dict[str, bytes], pauses: list[float]
) -> None:
    with mounted(Faults(every, busy)) as faults:
        copied_input(sample_dir)
        run(INPUT, OUTPUT, **FEW)
        assert tables() == wanted
        assert len(pauses) == len(faults.failed)
        assert {"info", "open", "readinto", "put_file"} <= set(faults.failed)
        assert run(INPUT, OUTPUT, **FEW).unchanged


def test_answers_that_are_lost_change_nothing(sample_dir: Path, wanted: dict[str, bytes]) -> None:
    with mounted(Faults(3, busy, lost=True)):
        copied_input(sample_dir)
        run(INPUT, OUTPUT, **FEW)
        assert tables() == wanted
        assert run(INPUT, OUTPUT, **FEW).unchanged


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_failures_that_stay_are_told_and_the_next_run_goes_on(
    share: float, sample_dir: Path, wanted: dict[str, bytes], pauses: list[float]
) -> None:
    with mounted(Faults(NEVER, forbidden)) as measured:
        copied_input(sample_dir)
        before = len(measured.calls)
        run(INPUT, OUTPUT, **FEW)
        calls = len(measured.calls) - before
    with mounted(Faults(NEVER, forbidden)):
        copied_input(sample_dir)
        FlakyFileSystem.faults = Faults(int(share * calls), forbidden)
        with pytest.raises(StorageError, match=r"^cannot .* flaky://bucket/.*: HttpError: no, 403$"):
            run(INPUT, OUTPUT, **FEW)
        assert pauses == []
        FlakyFileSystem.faults = Faults(NEVER, forbidden)
        run(INPUT, OUTPUT, **FEW)
        assert tables() == wanted


def test_failures_that_do_not_pass_are_told_in_the_end(sample_dir: Path) -> None:
    with mounted(Faults(NEVER, busy)):
        copied_input(sample_dir)
        FlakyFileSystem.faults = Faults(1, busy, named="put_file")
        with pytest.raises(StorageError, match=r"^cannot write .*: HttpError: busy, 503; gave up after 7 attempts$"):
            run(INPUT, OUTPUT, **FEW)
        assert tables() == {}
