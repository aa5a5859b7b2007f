"""Jobs submitted to a real head that asks for a token: their logs, exit codes, tables and metrics."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ray.job_submission import JobStatus, JobSubmissionClient

import etl_ray
from etl_ray.orchestrators.manifest import Ledger
from etl_ray.sample import SampleOptions, write_sample
from tests.orchestrators.jobs import config, run
from tests.orchestrators.outputs import table_files_of
from tests.ray.head import Head, own_environment, running_head

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = SampleOptions(
    minutes=0.1, products=("BTC-USD", "ETH-USD"), rate=8, levels=40, segment_mb=0.05, start="2025-11-26T23:59:56Z"
)
SMALL_TASKS = "{memory_mb_per_task: 200}"
STAGES = ["normalize", "build", "trades", "candles", "compose", "books", "witness"]
PROGRESS = re.compile(
    r"(?P<stage>\w+): (?P<done>[\d,]+)/(?P<total>[\d,]+) units"
    r"(, (?P<mb>[\d,.]+)(/[\d,.]+)? MB(, [\d,.]+ MB/s)?)?, ([\d:]+|[\d.]+ s)( left)?"
)


@dataclass(frozen=True)
class Done:
    """How a job ended: its log as it was followed, and what the head says of it."""

    log: str
    status: JobStatus
    exit_code: int | None
    message: str

    @property
    def lines(self) -> list[str]:
        """The lines of the log, without those of Ray itself."""
        ours = (line for line in self.log.splitlines() if not re.match(r"\[?\d{4}-\d\d-\d\d |Running entrypoint", line))
        return list(ours)

    @property
    def summary(self) -> dict[str, object]:
        """What the last line says."""
        found: dict[str, object] = json.loads(self.log.splitlines()[-1])
        return found


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with running_head() as found:
        yield found


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory like a clone, of another version than the one that is installed."""
    directory = tmp_path_factory.mktemp("clone") / "etl-ray"
    caches = shutil.ignore_patterns("__pycache__", ".*_cache")
    directory.mkdir()
    for name in ("etl_ray", "jobs", "configs", "docs"):
        shutil.copytree(ROOT / name, directory / name, ignore=caches)
    for name in (".gitignore", ".rayignore", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    (directory / "etl_ray" / "version.py").write_text('"""The version."""\n\n__version__ = "99.0"\n')
    (directory / "mine.yaml").write_text(f"resources: {SMALL_TASKS}\nderived: {{bars: [1s]}}\n")
    return directory


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording")
    write_sample(str(directory), SAMPLE)
    with min(directory.iterdir()).open("a") as segment:
        segment.write("garbage\n")
    return directory


@pytest.fixture(scope="module")
def local(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a run in this process, with bars."""
    output = tmp_path_factory.mktemp("local") / "output"
    etl_ray.ETLJob(str(recording), str(output), config=config(staging=DEFAULTS, **BARS)).process_all()
    return output


DEFAULTS = {"unit_mb": 128, "block_mb": 32, "max_line_mb": 16}
BARS: dict[str, object] = {"derived": {"bars": ["1s"]}}


def submitted(head: Head, code: Path, *arguments: object) -> Done:
    """Submit `python -m ARGUMENTS` with the code through the API, and follow its log to the end."""
    client = JobSubmissionClient(head.url, headers={"Authorization": f"Bearer {head.token}"})
    entrypoint = shlex.join(["python", *(str(argument) for argument in arguments)])
    job = client.submit_job(entrypoint=entrypoint, runtime_env={"working_dir": str(code)})

    async def follow() -> str:
        return "".join([part async for part in client.tail_job_logs(job)])

    log = asyncio.run(follow())
    info = client.get_job_info(job)
    return Done(log, info.status, info.driver_exit_code, info.message or "")


def figures_of(output: Path) -> dict[str, object]:
    """Return the figures of the newest manifest, named as in a summary."""
    manifest = Ledger(str(output)).latest()
    assert manifest is not None
    rows: Counter[str] = Counter()
    for file in manifest.files:
        rows[file.table] += file.rows
    counts = {name: getattr(manifest.counts, name) for name in ("lines", "bytes", "accepted", "rejects", "ignored")}
    return {**counts, "rows": {name: n for name, n in rows.items() if n}, "run_id": manifest.run_id}


def metrics_of(head: Head) -> Counter[tuple[str, str, str]]:
    """Return what the agent of the node hands to Prometheus: sums by metric, stage, and table or kind."""
    with urllib.request.urlopen(head.metrics_url, timeout=10) as answer:
        text = answer.read().decode()
    found: Counter[tuple[str, str, str]] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("ray_etl_ray_"):
                labels = sample.labels
                other = labels.get("table", labels.get("kind", ""))
                found[sample.name.removeprefix("ray_etl_ray_"), labels["stage"], other] += int(sample.value)
    return found


def test_a_job_leaves_its_figures_in_the_log_the_manifest_and_the_metrics(
    head: Head, code: Path, recording: Path, local: Path, tmp_path: Path
) -> None:
    before = metrics_of(head)

    done = submitted(head, code, "-m", "jobs.run_etl", recording, tmp_path / "out", "--config", "mine.yaml", "--json")

    assert (done.status, done.exit_code) == (JobStatus.SUCCEEDED, 0), done.log
    assert table_files_of(tmp_path / "out") == table_files_of(local)
    figures = figures_of(tmp_path / "out")
    assert {name: done.summary[name] for name in figures if name != "rows"} | {
        "rows": {name: n for name, n in done.summary["rows"].items() if n}  # type: ignore[attr-defined]
    } == figures
    assert Ledger(str(tmp_path / "out")).latest().program == "99.0"  # type: ignore[union-attr]
    assert "\x1b" not in done.log
    assert "\r" not in done.log
    found = [match for line in done.lines if (match := PROGRESS.fullmatch(line))]
    ended = {match["stage"]: match for match in found if match["done"] == match["total"]}
    assert [*ended] == [*STAGES, "derive"], done.log
    assert all(ended[stage]["mb"] for stage in ("normalize", "build", "trades", "books", "derive")), done.log

    metrics = metrics_of(head) - before
    of_rows: Counter[str] = Counter()
    for (name, _, table), value in metrics.items():
        if name == "rows_total":
            of_rows[table] += value
    assert of_rows == figures["rows"]
    stored = sum(path.stat().st_size for path in recording.iterdir())
    assert metrics["bytes_total", "normalize", "stored"] == stored
    assert metrics["bytes_total", "normalize", "read"] == figures["bytes"]
    assert metrics["rejects_total", "normalize", ""] == figures["rejects"] > 0
    assert metrics["units_total", "normalize", ""] == len(list(recording.iterdir()))
    sizes = sum(path.stat().st_size for path in (tmp_path / "out").glob("[a-z]*/**/*.parquet"))
    assert sum(value for (_, _, kind), value in metrics.items() if kind == "written") == sizes


def test_the_command_says_the_same_and_ends_as_the_job_does(
    head: Head, code: Path, recording: Path, local: Path, tmp_path: Path
) -> None:
    command = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", head.url, "--working-dir", "."]
    entry = ["--", "python", "-m", "jobs.run_etl"]

    def ray_job_submit(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *entry, *arguments],
            cwd=code,
            env=head.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    options = ["--config", "configs/cluster.yaml", "--bars", "1s", "--json"]
    done = ray_job_submit(str(recording), str(tmp_path / "out"), *options)
    failed = ray_job_submit(str(tmp_path / "nothing"), str(tmp_path / "none"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert table_files_of(tmp_path / "out") == table_files_of(local)
    last = [line for line in done.stdout.splitlines() if line.startswith("{")][-1]
    assert json.loads(last)["run_id"] == figures_of(tmp_path / "out")["run_id"]
    assert failed.returncode == 1
    assert "Job entrypoint command failed with exit code 2" in failed.stdout


def test_code_that_is_sent_goes_before_what_the_nodes_have(head: Head, code: Path) -> None:
    program = (
        "import etl_ray, ray; ray.init(); "
        "print(ray.get(ray.remote(lambda: __import__('etl_ray').__file__).remote())); print(etl_ray.__file__)"
    )

    done = submitted(head, code, "-c", program)

    worker, driver = done.lines[-2:]
    assert worker == driver
    assert "/working_dir_files/_ray_pkg_" in driver


@pytest.mark.parametrize(
    ("options", "exit_code", "complaint"),
    [
        (["{missing}", "{out}"], 2, r"etl-ray: error: .*missing.*"),
        (["{recording}", "{out}", "--depht", "3"], 2, r"etl-ray: error: No such option: --depht.*"),
        (["{recording}", "{out}", "--config", "nowhere.yaml"], 2, r"etl-ray: error: .*nowhere\.yaml.*"),
        (["{damaged}", "{out}", "--quiet"], 3, r"etl-ray: warning: damaged segment: .*00009\.ndjson\.gz.*"),
    ],
)
def test_a_job_that_fails_says_why_in_the_end(
    head: Head, code: Path, recording: Path, tmp_path: Path, options: list[str], exit_code: int, complaint: str
) -> None:
    damaged = Path(shutil.copytree(recording, tmp_path / "damaged"))
    (damaged / "segment_20251130T00_00009.ndjson.gz").write_bytes(b"\x1f\x8b\x08\x00")
    places = {"missing": tmp_path / "missing", "out": tmp_path / "out", "recording": recording, "damaged": damaged}

    done = submitted(head, code, "-m", "jobs.run_etl", *(option.format(**places) for option in options))

    assert (done.status, done.exit_code) == (JobStatus.FAILED, exit_code), done.log
    assert f"failed with exit code {exit_code}" in done.message
    last = done.log.splitlines()[-1 if exit_code == 2 else -2]  # what was rejected is told behind what is damaged
    assert re.fullmatch(complaint, last), done.log
    assert "Traceback" not in done.log


def test_tables_are_computed_again_and_merged_by_jobs(head: Head, code: Path, recording: Path, tmp_path: Path) -> None:
    growing, output = tmp_path / "growing", tmp_path / "output"
    growing.mkdir()
    for path in sorted(recording.iterdir()):
        shutil.copy2(path, growing)
        run(growing, output, staging=DEFAULTS)
    expected = Path(shutil.copytree(output, tmp_path / "expected"))
    etl_ray.reprocess(str(expected), str(tmp_path / "bars"), config=config(staging=DEFAULTS, **BARS))
    merged = etl_ray.compact(str(expected), config=config())

    again = submitted(
        head, code, "-m", "jobs.reprocess", output, tmp_path / "again", "--config", "mine.yaml", "--json", "--quiet"
    )
    compacted = submitted(head, code, "-m", "jobs.compact", output, "--config", "mine.yaml", "--json")

    assert (again.status, compacted.status) == (JobStatus.SUCCEEDED, JobStatus.SUCCEEDED), again.log + compacted.log
    assert table_files_of(tmp_path / "again") == table_files_of(tmp_path / "bars")
    assert again.summary["rows"] == figures_of(tmp_path / "again")["rows"]
    assert again.lines == [again.log.splitlines()[-1]]  # --quiet
    assert table_files_of(output) == table_files_of(expected)
    assert compacted.summary["written"] == merged.written > 0
    assert any(PROGRESS.fullmatch(line) for line in compacted.lines), compacted.log


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({}, "expected RAY_AUTH_MODE=token, found it not set. The token is read from RAY_AUTH_TOKEN, "),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "{token}"}, "expected RAY_AUTH_MODE=token, found disabled. "),
        ({"RAY_AUTH_MODE": "token"}, "expected it in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, "),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, "or in ~/.ray/auth_token, found another one"),
    ],
)
def test_a_driver_without_the_token_is_told_what_to_set(
    head: Head, recording: Path, tmp_path: Path, told: dict[str, str], complaint: str
) -> None:
    environment = own_environment(tmp_path) | {name: text.format(token=head.token) for name, text in told.items()}

    done = driven(head, environment, recording, tmp_path / "out")

    complaints = [line for line in done.stderr.splitlines() if line.startswith("etl-ray: ")]
    assert (done.returncode, done.stdout) == (2, "")
    assert len(complaints) == 1
    assert f"etl-ray: error: cannot connect to Ray at {head.address}: it asks for a token; " in complaints[0]
    assert complaint in complaints[0]
    assert done.stderr.splitlines()[-1] == complaints[0]
    assert len(done.stderr.splitlines()) <= 2  # Ray has a line of its own


def test_a_driver_with_the_token_works_on_the_head(head: Head, recording: Path, local: Path, tmp_path: Path) -> None:
    done = driven(head, head.environment(), recording, tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert table_files_of(tmp_path / "out") == table_files_of(local)


PROGRAM = """
import json, sys
from pathlib import Path
import ray
from tests.orchestrators.jobs import run

def scanners():
    import etl_ray
    package = Path(etl_ray.__file__).parent
    files = sorted((package / "scan" / "__pycache__").glob("kernel.scan_block-*.nb[ci]"))
    return str(package), {path.name: path.read_bytes().hex() for path in files}

address, recording, output, code = sys.argv[1:]
ray.init(address, runtime_env={"working_dir": code}, log_to_driver=False)
cold, none = ray.get(ray.remote(scanners).remote())
run(recording, output, engine="ray", resources={"memory_mb_per_task": 200})
there, found = ray.get(ray.remote(scanners).remote())
here, made = scanners()
print(json.dumps([none == {}, cold == there != here, found != {}, found.items() <= made.items()]))
"""


def test_nodes_get_what_the_driver_has_compiled(head: Head, recording: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "etl_ray", tmp_path / "same" / "etl_ray", ignore=shutil.ignore_patterns("__pycache__"))

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, head.address, str(recording), str(tmp_path / "out"), str(tmp_path / "same")],
        cwd=ROOT,
        env=head.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True, True, True]


def driven(head: Head, environment: dict[str, str], recording: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Run the job in a process of its own on the cluster of the head, without submitting it."""
    command = [sys.executable, "-m", "jobs.run_etl", str(recording), str(output), "--address", head.address]
    command += ["--bars", "1s", "--quiet"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
