"""aws.yaml makes the nodes that it describes, by Ray's own provider, on an EC2 that runs in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.launcher import Config
from tests.cluster.repository import CLUSTER

pytestmark = pytest.mark.slow
PROFILES = ("etl-ray-head", "etl-ray-worker")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """aws.yaml with what a user changes, in an account that has its profiles."""
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes its key there
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    with mock_aws():
        for profile in PROFILES:
            boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
        config = yaml.safe_load((CLUSTER / "aws.yaml").read_text())
        image = boto3.client("ec2", region_name="us-east-1").describe_images()["Images"][0]["ImageId"]
        for kind in config["available_node_types"].values():
            kind["node_config"]["ImageId"] = image
        yield config


def test_its_nodes_are_made(config: Config) -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    prepared = prepare_config(config)
    validate_config(prepared)
    prepared = AWSNodeProvider.fillout_available_node_types_resources(prepared)
    resources = {name: kind["resources"] for name, kind in prepared["available_node_types"].items()}
    prepared = AWSNodeProvider.bootstrap_config(prepared)
    provider = AWSNodeProvider(prepared["provider"], prepared["cluster_name"])
    made = {}
    for name, kind in prepared["available_node_types"].items():
        (node,) = provider.create_node(kind["node_config"], {"ray-user-node-type": name}, 1)
        found = boto3.client("ec2", region_name="us-east-1").describe_instances(InstanceIds=[node])
        made[name] = found["Reservations"][0]["Instances"][0]

    assert resources == {"head": {"CPU": 0}, "worker": {"CPU": 16, "memory": 48_000_000_000}}
    assert {name: node["InstanceType"] for name, node in made.items()} == {
        "head": "m6i.xlarge",
        "worker": "m6i.4xlarge",
    }
    assert {name: node.get("InstanceLifecycle") for name, node in made.items()} == {"head": None, "worker": "spot"}
    assert [node["IamInstanceProfile"]["Arn"].split("/")[-1] for node in made.values()] == list(PROFILES)
