"""Files of Ray's cluster launcher: what Ray checks of them, and what it leaves to the cloud to refuse."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import botocore.session
import jsonschema
import ray.autoscaler
from botocore.model import Shape
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.commands import complaints as complaints_of_commands
from tests.cluster.compute_engine import INSTANCE
from tests.cluster.repository import ROOT, memory_bytes_per_task

NEEDED = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "etl_ray", "jobs", "configs")
"""What an installation on a node, and the commands for it, are made of."""
TOKEN = "~/.ray/auth_token"
LINK = "sudo ln -sfn ~/etl-ray /opt/etl-ray"
_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)

Config = dict  # type: ignore[type-arg]  # what YAML holds


def complaints(config: Config) -> list[str]:
    """Return what is wrong with a launcher's config: first what Ray says, else what only the cloud or a run would."""
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (jsonschema.ValidationError, ValueError, KeyError) as error:
        return [f"Ray refuses it: {error}"]
    head = config["available_node_types"][config["head_node_type"]]
    workers = {name: kind for name, kind in config["available_node_types"].items() if kind is not head}
    return [
        *_about_provider(config["provider"]),
        *_about_head(head),
        *(text for name, worker in workers.items() for text in _about_worker(name, worker, config)),
        *(
            text
            for kind in config["available_node_types"].values()
            for text in _about_node(kind["node_config"], config)
        ),
        *_about_images([kind["node_config"] for kind in config["available_node_types"].values()]),
        *_about_files(config["file_mounts"]),
        *_about_commands(config),
    ]


def places(config: Config) -> dict[str, str]:
    """Return where the launcher puts parts of the repository, as a job sees them, which knows no home."""
    linked = LINK in config["setup_commands"]
    mounts = {there.replace("~/etl-ray", "/opt/etl-ray"): here for there, here in config["file_mounts"].items()}
    return {there: here for there, here in mounts.items() if linked and there.startswith("/opt/etl-ray/")}


def commands(config: Config) -> str:
    """Return all that nodes are told to run, a command a line."""
    return "\n".join(command for key in _COMMANDS for command in config.get(key, []))


def _about_provider(provider: Config) -> list[str]:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    known = set(schema["properties"]["provider"]["properties"]) | {"use_external_head_ip", "key_pair"}
    found = [f"provider has no key {name!r}" for name in sorted(set(provider) - known)]
    zones = provider["availability_zone"].split(",")
    return found + [f"zone {zone!r} is not in the region" for zone in zones if not zone.startswith(provider["region"])]


def _about_head(head: Config) -> list[str]:
    found = [] if head["resources"].get("CPU") == 0 else ["the head would get tasks: expected CPU 0"]
    return found + ([] if head.get("max_workers") == 0 else ["workers of the head's type: expected max_workers 0"])


def _about_worker(name: str, worker: Config, config: Config) -> list[str]:
    found = []
    if worker["max_workers"] > config["max_workers"]:
        found.append(f"{name}: max_workers is above that of the cluster, {config['max_workers']}")
    if worker["min_workers"] != 0:
        found.append(f"{name}: expected min_workers 0")
    asked = worker["resources"].get("CPU", 0) * memory_bytes_per_task()
    if not 0 < asked <= worker["resources"].get("memory", 0):
        found.append(f"{name}: memory for a task on each CPU is {asked} bytes, found {worker['resources']}")
    if "SPOT" not in json.dumps(worker["node_config"]).upper():
        found.append(f"{name}: expected a spot machine")
    return found


def _about_node(node: Config, config: Config) -> list[str]:
    if config["provider"]["type"] == "gcp":
        errors = jsonschema.Draft202012Validator(INSTANCE).iter_errors(node)
        zone = f"/zones/{config['provider']['availability_zone']}/"
        types = [disk["initializeParams"].get("diskType", zone) for disk in node["disks"]]
        return [error.message for error in errors] + [
            f"disk of another zone: {kind}" for kind in types if zone not in kind
        ]
    report = ParamValidator().validate(node | {"MinCount": 1, "MaxCount": 1}, _run_instances())
    return [report.generate_report()] if report.has_errors() else []


@cache
def _run_instances() -> Shape:
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _about_images(nodes: list[Config]) -> list[str]:
    images = {node.get("ImageId") or node["disks"][0]["initializeParams"]["sourceImage"] for node in nodes}
    return [] if len(images) == 1 else [f"nodes of different images, so of different Pythons: {sorted(images)}"]


def _about_files(mounts: Config) -> list[str]:
    local = {here for here in mounts.values() if not here.startswith("~")}
    found = [f"no file {here!r} in the repository" for here in sorted(local) if not (ROOT / here).exists()]
    found += [f"{name!r} is not brought to the nodes" for name in NEEDED if name not in local]
    return found + ([] if mounts.get(TOKEN) == TOKEN else ["the token is not brought to the nodes"])


def _about_commands(config: Config) -> list[str]:
    found = complaints_of_commands(commands(config), places=places(config))
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = next((command for command in config[key] if "ray start" in command), "")
        if "RAY_AUTH_MODE=token" not in start:
            found.append(f"{key}: Ray would start without tokens")
    if "--autoscaling-config=~/ray_bootstrap_config.yaml" not in "".join(config["head_start_ray_commands"]):
        found.append("head_start_ray_commands: the head would start no workers")
    return found
