"""Each change of the storage reaches its points, and processes die or stop there as they are told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_ray import storage
from etl_ray.errors import ConfigError
from etl_ray.storage import failpoints

EXITED = 7


@pytest.fixture(autouse=True)
def _unarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def change(root: str) -> None:
    """Change the storage in every way."""
    storage.write_bytes(f"{root}/a", b"1")
    with storage.open_write(f"{root}/b", final_url=lambda: f"{root}/b-1") as file:
        file.write(b"2")
    storage.create_new(f"{root}/c", b"3")
    storage.move(f"{root}/c", f"{root}/d")
    storage.delete(f"{root}/d")
    storage.delete_tree(root)


def outcome(work: Callable[[], object], *settings: str) -> int:
    """Do `work` in a fork that obeys `settings`; return its exit code, or the negative number of its signal."""
    child = os.fork()
    if child == 0:
        for setting in settings:
            failpoints.arm(setting)
        work()
        os._exit(EXITED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_all_points_of_a_local_directory_are_logged(tmp_path: Path) -> None:
    out = tmp_path / "out"
    failpoints.arm(f"log:{tmp_path}/log")
    change(str(out))

    assert (tmp_path / "log").read_text().replace(str(out), "").splitlines() == [
        "write.before /a",
        "write.whole /a",
        "write.after /a",
        "write.before /b",
        "write.whole /b-1",
        "write.after /b",
        "create.before /c",
        "create.whole /c",
        "create.after /c",
        "move.before /c",
        "move.after /d",
        "delete.before /d",
        "delete.after /d",
        "delete.before ",
        "delete.after ",
    ]


def test_all_points_of_a_bucket_are_logged_without_credentials(tmp_path: Path) -> None:
    failpoints.arm(f"log:{tmp_path}/log")
    change("memory://me:pa55@failpoints")

    assert (tmp_path / "log").read_text().replace("memory://failpoints", "").splitlines() == [
        "write.before /a",
        "write.after /a",
        "write.before /b",
        "write.whole /b-1",
        "write.after /b",
        "create.before /c",
        "create.after /c",
        "move.before /c",
        "move.copied /c",
        "delete.before /c",
        "delete.after /c",
        "move.after /d",
        "delete.before /d",
        "delete.after /d",
        "delete.before ",
        "delete.after ",
    ]


def names(root: Path) -> list[str]:
    return sorted("tmp" if path.suffix == ".tmp" else path.name for path in root.iterdir())


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("kill:1", []),
        ("kill:2", ["tmp"]),
        ("kill:3", ["a"]),
        ("kill:write.whole:/b", ["a", "tmp"]),
        ("kill:write.after:/b", ["a", "b-1"]),
        ("kill:create.whole:/c", ["a", "b-1", "tmp"]),
        ("kill:create.after:", ["a", "b-1", "c"]),
        ("kill:move.before:", ["a", "b-1", "c"]),
        ("kill:move.after:", ["a", "b-1", "d"]),
        ("kill:delete.after:/d", ["a", "b-1"]),
        ("kill:15", None),
    ],
)
def test_a_process_is_killed_at_a_point(tmp_path: Path, setting: str, left: list[str] | None) -> None:
    out = tmp_path / "out"
    out.mkdir()

    assert outcome(lambda: change(str(out)), setting) == -signal.SIGKILL
    assert (names(out) if out.exists() else None) == left


@pytest.mark.parametrize("setting", ["kill:16", "kill:write.whole:/nosuch", "kill:create.copied:"])
def test_a_point_that_is_not_reached_kills_nobody(tmp_path: Path, setting: str) -> None:
    assert outcome(lambda: change(str(tmp_path / "out")), setting) == EXITED


def test_arming_again_goes_on_counting(tmp_path: Path) -> None:
    def work() -> None:
        for _ in range(2):
            failpoints.arm("kill:4")
            storage.write_bytes(str(tmp_path / "a"), b"")
        failpoints.arm("kill:99")
        os._exit(EXITED)

    assert outcome(work) == -signal.SIGKILL


def test_a_process_stops_once_and_goes_on(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        failpoints.arm("stop:write.whole:")
        change(str(tmp_path / "out"))
        os._exit(EXITED)
    status = os.waitpid(child, os.WUNTRACED)[1]
    assert os.WIFSTOPPED(status)
    assert names(tmp_path / "out") == ["tmp"]
    os.kill(child, signal.SIGCONT)
    status = os.waitpid(child, os.WUNTRACED)[1]
    if os.WIFSTOPPED(status):
        os.kill(child, signal.SIGKILL)
    assert os.WIFEXITED(status)
    assert not (tmp_path / "out").exists()


def test_a_process_stops_again_once_its_marker_is_deleted(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.touch()
    child = os.fork()
    if child == 0:
        failpoints.arm(f"once:{marker}:stop:write.before:")
        for number in range(4):
            storage.write_bytes(f"{tmp_path}/{number}", b"1")
            if number != 1:
                marker.unlink()
        os._exit(EXITED)
    written = []
    while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
        written.append(names(tmp_path))
        os.kill(child, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(status) == EXITED
    assert written == [["0", "marker"], ["0", "1", "2", "marker"]]


def test_of_several_processes_one_is_killed(tmp_path: Path) -> None:
    setting = f"once:{tmp_path}/marker:kill:write.after:"

    codes = [outcome(lambda: change(str(tmp_path / "out")), setting) for _ in range(3)]

    assert codes == [-signal.SIGKILL, EXITED, EXITED]


@pytest.mark.parametrize(
    "setting", ["kill", "kill:", "kill:0", "kill:write.after", "stop:3", "log:", "once:m:log:x", "once:m", "die:3"]
)
def test_a_setting_that_cannot_be_read_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError) as raised:
        failpoints.arm(setting)

    assert str(raised.value) == (
        f"failpoint {setting!r}: expected log:PATH, kill:N, kill:NAME:PART or stop:NAME:PART, "
        "the last three perhaps behind once:MARKER:"
    )
