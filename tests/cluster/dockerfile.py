"""The Dockerfile, line by line: what it takes from where, and what it runs."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from tests.cluster.commands import complaints as complaints_of_commands
from tests.cluster.repository import ROOT, supported_python

WORKDIR = "/opt/etl-ray"
USER_ID = 1000
NEEDED = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "etl_ray", "jobs", "configs")
_KNOWN = ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "LABEL", "RUN", "USER", "WORKDIR")
_TAG = re.compile(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+")


@dataclass(frozen=True)
class Instruction:
    """One instruction, with its continued lines put together."""

    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    return [Instruction(*line.split(maxsplit=1)) for line in re.sub(r"\\\n\s*", "", lines).splitlines() if line.strip()]


def copied(text: str) -> set[str]:
    """Return the paths of the repository that an image is made of."""
    copies = [entry.rest.split()[:-1] for entry in instructions(text) if entry.word == "COPY"]
    return {source for sources in copies for source in sources}


def complaints(text: str, ignored: str) -> list[str]:
    """Return what is wrong with a Dockerfile, given the .dockerignore beside it."""
    found = instructions(text)
    unknown = [entry.word for entry in found if entry.word not in _KNOWN]
    runs = "\n".join(entry.rest for entry in found if entry.word == "RUN")
    return [
        *(f"no instruction {word!r}" for word in unknown),
        *_about_base([entry.rest for entry in found if entry.word == "FROM"]),
        *_about_sources(copied(text), ignored),
        *_about_user([entry.rest for entry in found if entry.word == "USER"], runs),
        *_about_packages(text, runs),
        *complaints_of_commands(runs, places={}),
    ]


def _about_base(bases: list[str]) -> list[str]:
    tag = _TAG.fullmatch(bases[0]) if len(bases) == 1 else None
    if tag is None:
        return [f"base {bases}: expected one slim Python, pinned to its last digit"]
    return [] if tag[1] in supported_python() else [f"base {bases[0]}: expected Python {supported_python()}"]


def _about_sources(sources: set[str], ignored: str) -> list[str]:
    patterns = [line for line in ignored.splitlines() if line and not line.startswith("#")]
    kept = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    found = [f"COPY {source}: no such file" for source in sorted(sources) if not (ROOT / source).exists()]
    found += [
        f"COPY {source}: .dockerignore leaves it out" for source in sorted(sources) if source.split("/")[0] not in kept
    ]
    found += [f"{name!r} is not copied" for name in NEEDED if name not in sources]
    if patterns[:1] != ["*"]:
        found.append(f".dockerignore: expected to leave out everything first, found {patterns[:1]}")
    found += [
        f".dockerignore: {name!r} is not used" for name in sorted(kept - {source.split("/")[0] for source in sources})
    ]
    caches = any(fnmatch.fnmatch("etl_ray/book/__pycache__", pattern) for pattern in patterns if pattern != "*")
    return found if caches else [*found, ".dockerignore: caches of this machine would be copied"]


def _about_user(users: list[str], runs: str) -> list[str]:
    if users[-1:] in ([], ["root"], ["0"]):
        return ["the image would run as root"]
    return [] if f"--uid {USER_ID} {users[-1]}" in runs else [f"no user {users[-1]!r} of number {USER_ID} is made"]


def _about_packages(text: str, runs: str) -> list[str]:
    found = [
        f"pip without versions: {line}" for line in re.findall(r"pip install[^&\n]*", runs) if not _is_pinned(line)
    ]
    if re.search(r"://|index-url|find-links|(?:^|\s)-i\s", text):
        found.append("a place to fetch packages from is named")
    return found if "etl-ray --help" in runs else [*found, "the program is not tried"]


def _is_pinned(line: str) -> bool:
    return "-c constraints.txt" in line or "--no-deps" in line


def places(text: str) -> dict[str, str]:
    """Return where the image has parts of the repository, as a job sees them: what is copied and stays."""
    copies = [entry.rest.split() for entry in instructions(text) if entry.word == "COPY"]
    gone = set(" ".join(re.findall(r"rm -rf ([^&\n]+)", "\n".join(e.rest for e in instructions(text)))).split())
    return {f"{WORKDIR}/{here}": here for *sources, _ in copies for here in sources if here.split("/")[0] not in gone}
