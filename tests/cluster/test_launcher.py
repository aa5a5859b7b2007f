"""gcp.yaml and aws.yaml would be accepted by Ray and by the clouds, and what they run exists."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import yaml

from tests.cluster import launcher
from tests.cluster.commands import commands_of_comments
from tests.cluster.commands import complaints as complaints_of_commands
from tests.cluster.launcher import Config, complaints
from tests.cluster.repository import CLUSTER, LAUNCHER


def read(name: str) -> Config:
    return yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())


@pytest.fixture(scope="module", params=LAUNCHER)
def config(request: pytest.FixtureRequest) -> Config:
    return read(request.param)


def test_nothing_is_wrong_with_it(config: Config) -> None:
    assert complaints(config) == []


@pytest.mark.parametrize("name", LAUNCHER)
def test_commands_of_its_comments_exist(name: str) -> None:
    script = commands_of_comments((CLUSTER / f"{name}.yaml").read_text())

    assert "ray up" in script
    assert "ray job submit" in script
    assert "ray down" in script
    assert complaints_of_commands(script, places=launcher.places(read(name))) == []
    assert complaints_of_commands(script, places={}) == [
        "no file '/opt/etl-ray/configs/cluster.yaml' in the repository"
    ]


def test_configs_are_where_jobs_look_only_if_they_are_brought_and_linked() -> None:
    config = read("gcp")
    unlinked = config | {"setup_commands": [text for text in config["setup_commands"] if text != launcher.LINK]}

    assert launcher.places(config)["/opt/etl-ray/configs"] == "configs"
    assert launcher.places(unlinked) == {}


def test_both_install_the_same_way() -> None:
    gcp, aws = read("gcp"), read("aws")

    for key in ("file_mounts", "setup_commands", "initialization_commands", "worker_start_ray_commands"):
        assert gcp[key] == aws[key]


def worker(config: Config) -> Config:
    return config["available_node_types"]["worker"]


def head(config: Config) -> Config:
    return config["available_node_types"]["head"]


Mutation = Callable[[Config], object]
ANY: dict[str, tuple[Mutation, str]] = {
    "an unknown key": (lambda c: c.update(max_worker=3), "max_worker"),
    "an unknown key of a node type": (lambda c: worker(c).update(minworkers=0), "minworkers"),
    "an unknown key of the provider": (lambda c: c["provider"].update(regoin="x"), "no key 'regoin'"),
    "a zone elsewhere": (lambda c: c["provider"].update(availability_zone="mars-1a"), "zone 'mars-1a'"),
    "a head that is no type": (lambda c: c.update(head_node_type="heads"), "head_node_type"),
    "a head that works": (lambda c: head(c).update(resources={"CPU": 4}), "expected CPU 0"),
    "workers of the head's type": (lambda c: head(c).update(max_workers=2), "expected max_workers 0"),
    "more workers than all": (lambda c: worker(c).update(max_workers=21), "above that of the cluster"),
    "workers that stay": (lambda c: worker(c).update(min_workers=2), "expected min_workers 0"),
    "workers of no known memory": (lambda c: worker(c).update(resources={"CPU": 16}), "memory for a task"),
    "no token": (lambda c: c["file_mounts"].pop("~/.ray/auth_token"), "the token is not brought"),
    "no configs": (lambda c: c["file_mounts"].pop("~/etl-ray/configs"), "'configs' is not brought"),
    "a file that is not there": (lambda c: c["file_mounts"].update({"~/x": "srcs"}), "no file 'srcs'"),
    "a worker without tokens": (
        lambda c: c.update(worker_start_ray_commands=["ray start --address=$RAY_HEAD_IP:6379"]),
        "without tokens",
    ),
    "a head that starts nobody": (
        lambda c: c.update(head_start_ray_commands=["export RAY_AUTH_MODE=token; ray start --head"]),
        "would start no workers",
    ),
    "an unknown option of ray start": (
        lambda c: c["worker_start_ray_commands"].append("ray start --objectstore-memory=1"),
        "--objectstore-memory",
    ),
    "an extra that is not there": (
        lambda c: c["setup_commands"].append("~/venv/bin/pip install -c constraints.txt '.[clusters]'"),
        "no extra 'clusters'",
    ),
    "an unknown command": (lambda c: c["setup_commands"].append("~/venv/bin/etl-ray samples x"), "'samples'"),
    "an unknown option": (
        lambda c: c["setup_commands"].append("~/venv/bin/etl-ray run a b --join-book"),
        "--join-book",
    ),
}
GCP: dict[str, tuple[Mutation, str]] = {
    "an unknown field": (lambda c: worker(c)["node_config"].update(machinetype="x"), "machinetype"),
    "an unknown field of a disk": (
        lambda c: head(c)["node_config"]["disks"][0]["initializeParams"].update(diskSizeGB=5),
        "diskSizeGB",
    ),
    "an unknown kind of machine": (
        lambda c: worker(c)["node_config"]["scheduling"].update(provisioningModel="SPOTTY"),
        "SPOTTY",
    ),
    "a list where there is none": (
        lambda c: worker(c)["node_config"].update(scheduling=[{"preemptible": True}]),
        "is not of type 'object'",
    ),
    "a machine that is no spot": (lambda c: worker(c)["node_config"].pop("scheduling"), "expected a spot machine"),
    "another image": (
        lambda c: head(c)["node_config"]["disks"][0]["initializeParams"].update(sourceImage="x"),
        "different images",
    ),
    "a disk elsewhere": (
        lambda c: head(c)["node_config"]["disks"][0]["initializeParams"].update(diskType="p/zones/us-east1-b/d"),
        "disk of another zone",
    ),
}
AWS: dict[str, tuple[Mutation, str]] = {
    "an unknown field": (lambda c: worker(c)["node_config"].update(Instancetype="x"), "Instancetype"),
    "an unknown field of a disk": (
        lambda c: worker(c)["node_config"]["BlockDeviceMappings"][0]["Ebs"].update(Size=5),
        '"Size"',
    ),
    "a text for a number": (
        lambda c: worker(c)["node_config"]["BlockDeviceMappings"][0]["Ebs"].update(VolumeSize="100"),
        "VolumeSize",
    ),
    "a machine that is no spot": (
        lambda c: worker(c)["node_config"].pop("InstanceMarketOptions"),
        "expected a spot machine",
    ),
    "another image": (lambda c: head(c)["node_config"].update(ImageId="ami-1"), "different images"),
}
MUTANTS = [
    *((name, what, *mutant) for name in LAUNCHER for what, mutant in ANY.items()),
    *(("gcp", what, *mutant) for what, mutant in GCP.items()),
    *(("aws", what, *mutant) for what, mutant in AWS.items()),
]


@pytest.mark.parametrize(
    ("name", "mutate", "told"),
    [(name, mutate, told) for name, _, mutate, told in MUTANTS],
    ids=[f"{n}: {w}" for n, w, _, _ in MUTANTS],
)
def test_a_mistake_is_found(name: str, mutate: Mutation, told: str) -> None:
    config = copy.deepcopy(read(name))
    mutate(config)

    assert any(told in text for text in complaints(config))
