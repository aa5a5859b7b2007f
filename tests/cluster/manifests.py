"""Manifests for KubeRay: what the resource definitions say of them, and what these and Kubernetes leave to a run."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import jsonschema
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _generate_available_node_types_from_ray_cr_spec

from tests.cluster import dockerfile
from tests.cluster.commands import complaints as complaints_of_commands
from tests.cluster.repository import CLUSTER, memory_bytes_per_task, pinned

SUBMISSION_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
LONGEST_NAME = 47
"""KubeRay adds to the name of a RayJob, and Kubernetes has an end to names."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the definitions are long, and the other one takes seconds
_UNITS = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

Document = dict  # type: ignore[type-arg]  # what YAML holds


def definitions(folder: Path) -> dict[str, Document]:
    """Return the schemas of version v1 in a folder of resource definitions, closed, by kind."""
    schemas = {}
    for path in sorted(folder.glob("*.yaml.gz")):
        definition = yaml.load(gzip.decompress(path.read_bytes()), _LOADER)["spec"]
        version = next(version for version in definition["versions"] if version["name"] == "v1")
        schemas[definition["names"]["kind"]] = closed(version["schema"]["openAPIV3Schema"])
    return schemas


def closed(schema: object) -> object:
    """Return a schema that refuses keys which it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    names_keys = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    open_end = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return parts | {"additionalProperties": False} if names_keys and not open_end else parts


def complaints_of_schema(document: Document, schemas: dict[str, Document]) -> list[str]:
    """Return what a resource definition has against a document."""
    errors = jsonschema.Draft202012Validator(schemas[document["kind"]]).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


def complaints(documents: list[Document]) -> list[str]:
    """Return what is wrong with a manifest that its resource definition does not say."""
    account, resource = documents
    if (account["kind"], resource["apiVersion"]) != ("ServiceAccount", "ray.io/v1"):
        return [f"expected a ServiceAccount and a resource of ray.io/v1, found {account['kind']}, {resource}"]
    name = resource["metadata"]["name"]
    is_name = re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= LONGEST_NAME
    found = [] if is_name else [f"{name!r} is no name for a {resource['kind']}"]
    spec = resource["spec"]
    if resource["kind"] == "RayJob":
        found += _about_job(spec)
        spec = spec["rayClusterSpec"]
    return [*found, *_about_cluster(spec), *_about_nodes(spec, account["metadata"]["name"])]


def _about_job(job: Document) -> list[str]:
    found = complaints_of_commands(job["entrypoint"], places=dockerfile.places((CLUSTER / "Dockerfile").read_text()))
    if job["submissionMode"] not in SUBMISSION_MODES:
        found.append(f"submissionMode {job['submissionMode']!r}: expected one of {SUBMISSION_MODES}")
    if "ttlSecondsAfterFinished" in job and not job.get("shutdownAfterJobFinishes"):
        found.append("ttlSecondsAfterFinished without shutdownAfterJobFinishes: the cluster would stay")
    if job.get("activeDeadlineSeconds", 0) <= 0:
        found.append("activeDeadlineSeconds: expected an end")
    return found


def _about_cluster(spec: Document) -> list[str]:
    found = []
    if spec["rayVersion"] != pinned()["ray"]:
        found.append(f"rayVersion {spec['rayVersion']}: expected {pinned()['ray']}, as in constraints.txt")
    if spec.get("authOptions") != {"mode": "token"}:
        found.append("Ray would start without tokens")
    if not spec.get("enableInTreeAutoscaling"):
        found.append("no worker would be started")
    if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        found.append("the head would get tasks: expected num-cpus '0'")
    types = _generate_available_node_types_from_ray_cr_spec(spec)
    for group in spec["workerGroupSpecs"]:
        if not group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]:
            found.append(f"{group['groupName']}: expected workers from 0")
        resources = types[group["groupName"]]["resources"]
        if not 0 < resources["CPU"] * memory_bytes_per_task() <= resources["memory"]:
            found.append(f"{group['groupName']}: too little memory for a task on each CPU: {resources}")
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        flags = " ".join(f"--{key}={value}" for key, value in group["rayStartParams"].items())
        found += complaints_of_commands(f"ray start {flags}", places={})
    return found


def _about_nodes(spec: Document, account: str) -> list[str]:
    pods = [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    found = [] if len(images) == 1 else [f"nodes of different images: {sorted(images)}"]
    return found + [text for pod in pods for text in _about_pod(pod, account)]


def _about_pod(pod: Document, account: str) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = [mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]]
    for name in sorted(set(mounted) ^ set(volumes)):
        yield f"volume {name!r} is mounted or there, but not both"
    if "/tmp" not in [mount["mountPath"] for container in pod["containers"] for mount in container["volumeMounts"]]:
        yield "no volume for files that wait in /tmp"
    if pod["serviceAccountName"] != account:
        yield f"service account {pod['serviceAccountName']!r} is not in the manifest"
    if pod["securityContext"]["runAsUser"] != dockerfile.USER_ID or not pod["securityContext"]["runAsNonRoot"]:
        yield f"expected the image's user {dockerfile.USER_ID}"
    tolerated = {(entry["key"], entry["value"]) for entry in pod.get("tolerations", [])}
    if tolerated != set(pod.get("nodeSelector", {}).items()):
        yield "the nodes that are chosen are not those that are tolerated"
    for container in pod["containers"]:
        yield from _about_container(container, volumes)


def _about_container(container: Document, volumes: dict[str, Document]) -> Iterator[str]:
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    for name in sorted(requests.keys() | limits.keys()):
        if quantity(requests.get(name, "0")) != quantity(limits.get(name, "0")):
            yield f"{container['name']}: {name}: requests {requests.get(name)}, limits {limits.get(name)}"
    sizes = [quantity(volume["emptyDir"]["sizeLimit"]) for volume in volumes.values()]
    if sum(sizes) > quantity(limits.get("ephemeral-storage", "0")):
        yield f"{container['name']}: volumes are larger than its ephemeral-storage"


def quantity(text: str) -> Decimal:
    """Return a quantity of Kubernetes as a number."""
    found = re.fullmatch(r"([\d.]+)(m|[kMG]|[KMG]i)?", str(text))
    if found is None:
        raise ValueError(f"{text!r} is no quantity of Kubernetes")
    return Decimal(found[1]) * _UNITS[found[2] or ""]
