"""Credentials and private messages, planted wherever they may be met, are in nothing that is written or printed.

That every shape of a private message is recognized is tested in tests/orchestrators/test_private_channels.py.
"""

from __future__ import annotations

import gzip
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec.config
import pytest
from backports import zstd

from etl_ray.orchestrators.manifest import Ledger
from etl_ray.storage import failpoints
from tests.faults.command_line import Answer, CommandLine
from tests.faults.recordings import CONFIG
from tests.faults.vault import ENVIRONMENT, SECRETS, STORAGE_OPTION, VaultFileSystem, vault, with_credentials
from tests.orchestrators.test_private_channels import BROKEN_PRIVATE, PRICE, SECRET, VALID_PRIVATE, words_of

pytestmark = pytest.mark.slow

MARKS = (*SECRETS, SECRET, PRICE)
FIRST = "segment_20251126T23_00001.ndjson"
SETTLED = ("--settle", "1ms")
SOURCE, OUTPUT, STAGING, ARCHIVE = (f"bucket/{name}" for name in ("input", "output", "staging", "archive"))


def private_lines(*lines: str) -> bytes:
    """Return lines of private channels with an order's id and price in them."""
    return "\n".join(lines).replace("S", SECRET).replace("P", PRICE).replace("U" + SECRET, "US").encode() + b"\n"


@pytest.fixture
def bucket(tiny_segments: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[type[VaultFileSystem]]:
    """Return a bucket with a recording, private lines in all its segments: plain, packed, cut while packed."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "vault", {"key": STORAGE_OPTION})
    first, second, third, *_ = (path.read_bytes() for path in tiny_segments)
    names = [path.name for path in tiny_segments]
    private = private_lines(*VALID_PRIVATE, *BROKEN_PRIVATE)
    with vault() as found:
        fs = found()
        assert fs.key == STORAGE_OPTION
        fs.pipe_file(f"{SOURCE}/{names[0]}", private + first + private)
        fs.pipe_file(f"{SOURCE}/{names[1]}.gz", gzip.compress(second + private)[:-30])
        fs.pipe_file(f"{SOURCE}/{names[2]}.zst", zstd.compress(private + third))
        yield found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return TMPDIR; at each write it is searched, but where a whole segment is on its way to an archive."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    seen: list[str] = []

    def look(name: str, url: str) -> None:
        if name == "write.whole" and f"{ARCHIVE}/" not in url:
            seen.extend(leaks_of(directory))

    monkeypatch.setattr(failpoints, "_act", look)
    yield directory
    assert seen == []
    assert list(directory.rglob("*")) == []


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return all that is logged, of all packages, which is searched in the end."""
    with caplog.at_level(logging.DEBUG):
        yield caplog
    assert told_by(caplog.text) == []


def told_by(text: str) -> list[str]:
    """Return the secrets in a text."""
    return [mark for mark in MARKS if mark in text]


def leaks_of(directory: Path) -> list[str]:
    """Return the files that hold a secret, or whose names do."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return [str(path) for path in files if told_by(str(path)) or any(told_by(words) for words in words_of(path))]


def leaks_of_bucket(bucket: type[VaultFileSystem], directory: Path) -> list[str]:
    """Return the files of the bucket, but for segments, that hold a secret; what is private is in segments alone."""
    for name, file in bucket.store.items():
        if not name.startswith((f"/{SOURCE}/", f"/{ARCHIVE}/")):
            path = directory / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.getvalue())  # type: ignore[attr-defined]
    return leaks_of(directory)


def all_of(answer: Answer) -> str:
    return answer.out + answer.err


@pytest.fixture
def credentials_in_config(tmp_path: Path, command_line: CommandLine) -> Path:
    """Return a config that has credentials where it has a URL."""
    text = CONFIG.replace("staging: {", f"staging: {{url: '{with_credentials(STAGING)}', ")
    (tmp_path / "everything.yaml").write_text(text)
    return tmp_path / "everything.yaml"


@pytest.mark.usefixtures("temporary", "credentials_in_config")
def test_everything_in_a_bucket(bucket: type[VaultFileSystem], tmp_path: Path, command_line: CommandLine) -> None:
    source, output = with_credentials(SOURCE), with_credentials(OUTPUT)
    answers = [command_line.run(source, output, "--json", "--end", "2025-11-26T23:59:59Z")]
    answers += [command_line.run(source, output, "--json")]
    assert [answer.code for answer in answers] == [3, 3]
    assert answers[-1].json["messages"]["user"] > 12  # type: ignore[index]
    answers += [
        command_line("status", output),
        command_line("status", output, "--json"),
        command_line("verify", output, "--json"),
        command_line("verify", output),
        command_line("compact", output, "--json", "--engine", "local"),
        command_line.run(source, output, "--numbers", "decimal"),
        command_line.run(source, output, "--after", "archive", "--archive-to", with_credentials(ARCHIVE), *SETTLED),
        command_line("status", output, "--json"),
    ]
    assert [answer.code for answer in answers[2:]] == [0, 0, 0, 0, 0, 2, 3, 0]
    assert [told_by(all_of(answer)) for answer in answers] == [[]] * len(answers)
    assert [name for name in bucket.store if name.startswith(f"/{ARCHIVE}")] == [f"/{ARCHIVE}/{FIRST}"]
    assert any(name.startswith(f"/{STAGING}/") for name in bucket.store)
    assert any(name.startswith(f"/{OUTPUT}/_etl_ray/manifests/") for name in bucket.store)
    assert leaks_of_bucket(bucket, tmp_path / "copy") == []

    manifest = Ledger(f"vault://{OUTPUT}").latest()
    assert manifest is not None
    assert manifest.sources == (f"vault://{SOURCE}",)
    assert [item.url.rpartition("/")[0] for item in manifest.inputs] == [f"vault://{SOURCE}"] * 3


@pytest.mark.usefixtures("temporary")
def test_the_search_finds_what_is_planted(bucket: type[VaultFileSystem], tmp_path: Path) -> None:
    bucket().pipe_file(f"{OUTPUT}/level2/x.json", json.dumps(with_credentials(SOURCE)).encode())
    assert leaks_of_bucket(bucket, tmp_path / "copy") == [str(tmp_path / "copy" / OUTPUT / "level2" / "x.json")]


def test_a_local_output(
    bucket: type[VaultFileSystem], temporary: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    output = tmp_path / "output"
    answers = [
        command_line.run(with_credentials(SOURCE), output, "--json"),
        command_line("status", str(output), "--json"),
        command_line("verify", str(output), "--json"),
        command_line("compact", str(output), "--json", "--engine", "local"),
        command_line("reprocess", str(output), str(tmp_path / "derived"), "--bars", "2s", "--engine", "local"),
    ]
    assert [answer.code for answer in answers] == [3, 0, 0, 0, 0], [answer.err for answer in answers]
    assert [told_by(all_of(answer)) for answer in answers] == [[]] * len(answers)
    assert leaks_of(output) == []
    assert leaks_of(tmp_path / "derived") == []


REFUSED = {
    "the first write": ("pipe_file", "/output/_etl_ray/"),
    "a segment": ("open", "/input/"),
    "a piece": ("put_file", "/output/_etl_ray/staged/"),
    "a table": ("put_file", "/tables-"),
    "receipts": ("put_file", "/output/_etl_ray/receipts/"),
    "the manifest": ("pipe_file", "/manifests/"),
    "an archive": ("put_file", "/archive/"),
}
"""What a bucket refuses with an error that is full of secrets: the call, and a part of the path."""


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("what", REFUSED)
def test_a_bucket_that_refuses(
    what: str, bucket: type[VaultFileSystem], tmp_path: Path, command_line: CommandLine
) -> None:
    call, part = REFUSED[what]
    bucket.refused[call] = part
    source, output = with_credentials(SOURCE), with_credentials(OUTPUT)
    options = ("--after", "archive", "--archive-to", with_credentials(ARCHIVE), *SETTLED, "--json")
    failed = command_line.run(source, output, *options)
    assert failed.code == (3 if what in ("a segment", "an archive") else 1)
    assert "403 Forbidden: vault://bucket/" in failed.err
    answers = [failed, command_line("status", output, "--json"), command_line("verify", output, "--json")]
    assert [told_by(all_of(answer)) for answer in answers] == [[]] * 3
    assert leaks_of_bucket(bucket, tmp_path / "copy") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", with_credentials("bucket/nothing"), "{output}"),
        ("run", with_credentials(SOURCE), with_credentials(SOURCE)),
        ("run", with_credentials(SOURCE), "{output}", "--after", "archive", "--archive-to", with_credentials(SOURCE)),
        ("run", with_credentials(SOURCE), "{output}", "--after", "keep", "--archive-to", with_credentials(ARCHIVE)),
        ("run", with_credentials("[ab]cket/input"), "{output}"),
        ("run", with_credentials(SOURCE).replace("vault:", "v4ult:"), "{output}"),
        ("run", "{output}", with_credentials(OUTPUT).replace("vault:", "v4ult:")),
        ("status", with_credentials("bucket/nothing")),
        ("verify", with_credentials("bucket/nothing"), "--json"),
        ("compact", with_credentials("bucket/nothing"), "--json"),
        ("reprocess", with_credentials("bucket/nothing"), "{output}", "--bars", "1s"),
        ("book-at", with_credentials("bucket/nothing"), "BTC-USD", "2025-11-26T23:59:59Z"),
    ],
    ids=lambda given: "-".join(item.partition(":")[0] for item in given),
)
@pytest.mark.usefixtures("bucket")
def test_a_command_that_is_refused(arguments: tuple[str, ...], output_dir: Path, command_line: CommandLine) -> None:
    answer = command_line(*(argument.format(output=output_dir) for argument in arguments))
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert told_by(all_of(answer)) == []
