"""Environments of the peers whose pins conflict with this project's, or that it has no use for otherwise.

Each is a virtual environment of its own below one folder; what is not there is made, by name and version.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PINS: dict[str, tuple[str, ...]] = {
    "spark": ("pyspark==4.3.0",),
    "books": ("hftbacktest==2.4.4", "order-book==0.6.1", "sortedcontainers==2.4.0"),
    "bars": ("mlfinpy==0.1.2", "pandas==2.3.3", "scikit-learn==1.9.1", "statsmodels==0.14.6", "matplotlib==3.11.2"),
}
_INSTALL_S = 900.0


@dataclass(frozen=True)
class Environment:
    """The Python of an environment, or why there is none."""

    python: Path | None
    reason: str = ""


def environment(name: str, folder: Path | None) -> Environment:
    """Return the environment `name` (a key of PINS) below `folder`; it is made if it is not there."""
    pins = ", ".join(PINS[name])
    if folder is None:
        return Environment(None, f"{pins}: `--peers-venv DIR` names, or makes, environments that have them")
    if name == "spark" and shutil.which("java") is None:
        return Environment(None, f"{pins}: there is no java on the path")
    return make_environment(folder / name, PINS[name])


def make_environment(folder: Path, pins: tuple[str, ...]) -> Environment:
    """Return the environment in `folder`, made with `pins` if it is not there."""
    python = folder.absolute() / "bin" / "python"
    if python.exists():
        return Environment(python)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=_INSTALL_S)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
        subprocess.run(command, check=True, timeout=_INSTALL_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Environment(None, f"{', '.join(pins)}: cannot be installed ({error})")
    return Environment(python)
