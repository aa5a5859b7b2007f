"""The Dockerfile can be built from the repository, and what it runs exists."""

from __future__ import annotations

import pytest

from tests.cluster.commands import commands_of_comments
from tests.cluster.commands import complaints as complaints_of_commands
from tests.cluster.dockerfile import Instruction, complaints, copied, instructions, places
from tests.cluster.repository import CLUSTER, ROOT

TEXT = (CLUSTER / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text()


def test_nothing_is_wrong_with_it() -> None:
    assert complaints(TEXT, IGNORED) == []


def test_it_takes_nothing_but_the_program() -> None:
    assert copied(TEXT) == {
        *("pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
        *("etl_ray/version.py", "etl_ray", "jobs", "configs"),
    }


def test_configs_stay_in_the_image_and_code_does_not_lie_in_the_way() -> None:
    assert places(TEXT) == {
        f"/opt/etl-ray/{name}": name
        for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "configs")
    }


def test_commands_of_its_comments_exist() -> None:
    script = commands_of_comments(TEXT)

    assert "docker build" in script
    assert complaints_of_commands(script, places={}) == []


def test_it_is_read_as_docker_reads_it() -> None:
    assert instructions("# x\nFROM a\n\nRUN b \\\n    && c\n") == [
        Instruction("FROM", "a"),
        Instruction("RUN", "b && c"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("WORKDIR", "WORKDIRS", "no instruction 'WORKDIRS'"),
        ("python:3.11.14-slim-bookworm", "python:3.11-slim", "pinned to its last digit"),
        ("python:3.11.14-slim-bookworm", "python:3.10.14-slim-bookworm", "expected Python"),
        ("COPY jobs jobs", "COPY job job", "COPY job: no such file"),
        ("COPY jobs jobs", "COPY tests tests", "COPY tests: .dockerignore leaves it out"),
        ("COPY configs configs\n", "", "'configs' is not copied"),
        ("USER ray", "USER root", "as root"),
        ("--uid 1000", "--uid 1001", "no user 'ray' of number 1000"),
        ("-c constraints.txt '.[cluster,s3]'", "'.[cluster,s3]'", "pip without versions"),
        ("-c constraints.txt '.[cluster,s3]'", "-c constraint.txt '.[cluster,s3]'", "no file 'constraint.txt'"),
        ("[cluster,s3]", "[cluster,s4]", "no extra 's4'"),
        ("pip install --no-cache-dir -c", "pip install --index-url https://x/ -c", "a place to fetch packages from"),
        ("pip install --no-cache-dir -c", "pip install --nocache -c", "--nocache: not expected"),
        ("etl-ray --help", "true", "the program is not tried"),
        ("etl-ray verify", "etl-ray verfy", "no command 'verfy'"),
        ("--minutes 1", "--minute 1", "--minute"),
        ("--join-books", "--joins", "--joins"),
        ("--engine local", "--engine locally", "locally"),
        ("wget \\", "wget && fetch x \\", "no program 'fetch'"),
    ],
)
def test_a_mistake_is_found(old: str, new: str, told: str) -> None:
    assert old in TEXT

    assert any(told in text for text in complaints(TEXT.replace(old, new), IGNORED))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("*\n!", "!", "leave out everything first"),
        ("!jobs\n", "", "COPY jobs: .dockerignore leaves it out"),
        ("!jobs\n", "!jobs\n!docs\n", "'docs' is not used"),
        ("**/__pycache__\n", "", "caches of this machine"),
    ],
)
def test_a_mistake_in_what_is_left_out_is_found(old: str, new: str, told: str) -> None:
    assert old in IGNORED

    assert any(told in text for text in complaints(TEXT, IGNORED.replace(old, new, 1)))
