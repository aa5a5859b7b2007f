"""A run that is paused, and wakes up when another has its lock, changes no table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from etl_ray.orchestrators.lease import Pace
from etl_ray.orchestrators.lock import exclusive
from tests.orchestrators.jobs import FEW, run
from tests.orchestrators.outputs import OWN, table_files_of
from tests.storage.shared import register

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from etl_ray.errors import LockedError
from etl_ray.storage import failpoints
from tests.orchestrators.jobs import FEW, run
from tests.storage.shared import register

register()
failpoints.arm(sys.argv[3])
try:
    run(sys.argv[1], sys.argv[2], **FEW, numbers="decimal", overwrite=True)
except LockedError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def manifests_of(output: Path) -> list[str]:
    return sorted(path.name for path in (output / OWN / "manifests").iterdir())


# Behind the last look before the commit nobody else has committed, so this run does: the fence is the manifest.
@pytest.mark.parametrize(
    ("point", "manifests"),
    [
        ("write.whole:/staged/", ["000001.json"]),
        ("write.whole:/runs/", ["000001.json"]),
        ("create.before:/manifests/", ["000001.json", "000002.json"]),
    ],
)
@pytest.mark.parametrize("bucket", [False, True])
def test_a_run_that_wakes_up_without_its_lock_changes_no_table(
    sample_dir: Path, output_dir: Path, point: str, manifests: list[str], bucket: bool
) -> None:
    register()
    url = f"shared:/{output_dir}" if bucket else str(output_dir)
    run(sample_dir, url, **FEW)
    before = table_files_of(output_dir)
    command = [sys.executable, "-c", RUN, str(sample_dir), url, f"stop:{point}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as paused:
        assert os.WIFSTOPPED(os.waitpid(paused.pid, os.WUNTRACED)[1])
        with exclusive(f"{url}/{OWN}", break_lock=True) as hold:
            time.sleep(Pace().check_s)  # for so long a run believes what it has seen
            paused.send_signal(signal.SIGCONT)
            told, _ = paused.communicate()
            hold.check()
    assert (paused.returncode, told.partition(": ")[0]) == (4, f"this run no longer holds {url}")
    assert (table_files_of(output_dir), manifests_of(output_dir)) == (before, manifests)
