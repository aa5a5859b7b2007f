"""The pages and the file headers of cluster/: links, versions, what has to be changed, and commands that exist."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.cluster.commands import complaints, simple_commands
from tests.cluster.repository import CLUSTER, LAUNCHER, MANIFESTS, pinned, supported_python
from tests.test_readme import _LINK, anchors, blocks_of

PAGES = ("README.md", "local.md")
FILES = tuple(path.name for path in sorted(CLUSTER.iterdir()))
PLACEHOLDER = re.compile(r"my-project|ami-0+\b|REGISTRY/|BUCKET/|111122223333|us-central1|us-east-1|[{ ]Name: etl-ray")
"""What nobody's cloud has, or only some have."""


def bash_of(name: str) -> str:
    return "\n".join(block.code for block in blocks_of((CLUSTER / name).read_text(), name) if block.language == "bash")


def test_every_file_is_listed() -> None:
    listed = {link for link in _LINK.findall((CLUSTER / "README.md").read_text()) if "/" not in link}

    assert listed == set(FILES) - {"README.md"}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    broken = []
    for link in _LINK.findall((CLUSTER / name).read_text()):
        target, _, anchor = link.partition("#")
        path = CLUSTER / target
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            broken.append(link)

    assert broken == []


def test_commands_of_the_page_exist() -> None:
    assert complaints(bash_of("local.md"), places={}) == []


def test_blocks_of_the_page_say_why_they_are_not_run() -> None:
    blocks = blocks_of((CLUSTER / "local.md").read_text(), "local.md")

    assert [block.flags for block in blocks if not block.has_reason] == []
    assert len(blocks) == 6


@pytest.mark.parametrize("name", [*(f"{name}.yaml" for name in (*LAUNCHER, *MANIFESTS)), "Dockerfile"])
def test_every_line_that_must_be_changed_is_marked(name: str) -> None:
    lines = (CLUSTER / name).read_text().splitlines()
    wanting = [
        line
        for number, line in enumerate(lines)
        if PLACEHOLDER.search(line)
        and line.lstrip()[0] != "#"
        and "CHANGE" not in "".join(lines[number - 2 : number + 1])
    ]

    assert any("CHANGE" in line for line in lines)
    assert [line.strip() for line in wanting] == []


@pytest.mark.parametrize("name", FILES)
def test_versions_are_those_of_the_constraints(name: str) -> None:
    text = (CLUSTER / name).read_text()
    ray, minor = pinned()["ray"], ".".join(pinned()["ray"].split(".")[:2])
    versions = re.findall(r"\bRay (\d+\.\d+)\b", text)
    pythons = set(re.findall(r"python:?(3\.\d+)", text))

    assert set(versions) <= {minor}
    assert set(re.findall(r'rayVersion: "?([\d.]+)', text)) <= {ray}
    assert all(python in supported_python() for python in pythons)
    assert len(pythons) <= 1


def test_pins_beside_the_constraints_are_the_same_on_your_machine_and_on_the_head() -> None:
    text = (CLUSTER / "gcp.yaml").read_text()
    here, head = re.findall(r"google-api-python-client==\S+ google-auth-httplib2==\S+", text)

    assert here == head
    assert "google-api-python-client" not in pinned()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("a b && c 'd e'", [["a", "b"], ["c", "d e"]]),
        ("A=1 ray status > x 2>&1", [["ray", "status"]]),
        ("for x in 1 2; do sudo y && break; done", [["for", "x", "in", "1", "2"], ["y"], ["break"], ["done"]]),
        ("a \\\n    b | c", [["a", "b"], ["c"]]),
        ("# nothing\na # b", [["a"]]),
    ],
)
def test_scripts_are_taken_apart(script: str, words: list[list[str]]) -> None:
    assert list(simple_commands(script)) == words


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("ray starts", "no command 'starts'"),
        ("ray start --heads", "--heads"),
        ("ray start --port=x", "'x'"),
        ("ray job submits x", "no command 'submits'"),
        ("ray job submit --adress x -- true", "--adress"),
        ("ray job submit -- python -m jobs.run_etl a b --numbers floats", "floats"),
        ("ray up cluster/gpc.yaml", "no file 'cluster/gpc.yaml'"),
        ("ray exec cluster/gcp.yaml 'ray statuses'", "no command 'statuses'"),
        ("python -m jobs.compacts a", "no module 'jobs.compacts'"),
        ("python run.py", "expected -m"),
        ("pip install -c constraints.txt rays", "no version is pinned"),
        ("kubectl apply -f cluster/kuberay.yaml", "no file"),
        ("docker run REGISTRY/etl-ray:1 etl-ray runs a b", "no command 'runs'"),
    ],
)
def test_a_command_that_does_not_exist_is_found(script: str, told: str) -> None:
    assert any(told in text for text in complaints(script, places={}))


@pytest.mark.parametrize("name", [*LAUNCHER, *MANIFESTS])
def test_files_are_plain_yaml(name: str) -> None:
    assert all(isinstance(part, dict) for part in yaml.safe_load_all((CLUSTER / f"{name}.yaml").read_text()))
