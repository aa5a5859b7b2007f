"""The manifests for KubeRay would be accepted by Kubernetes and by KubeRay, and what they run exists."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cluster import dockerfile
from tests.cluster.commands import commands_of_comments
from tests.cluster.commands import complaints as complaints_of_commands
from tests.cluster.manifests import Document, complaints, complaints_of_schema, definitions, quantity
from tests.cluster.repository import CLUSTER, MANIFESTS, ROOT


def read(name: str) -> list[Document]:
    """Return the documents of a manifest, each value its own, so that a mutation of one changes no other."""
    documents = yaml.safe_load_all((CLUSTER / f"{name}.yaml").read_text())
    return [yaml.safe_load(yaml.dump(document, Dumper=Plain)) for document in documents]


class Plain(yaml.SafeDumper):
    """Writes shared values out each time."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@pytest.fixture(scope="session")
def schemas() -> dict[str, Document]:
    """Resource definitions of KubeRay, by kind; skips where there are none."""
    named = os.environ.get("ETL_RAY_KUBERAY_CRDS")
    directory = Path(named) if named else ROOT.parent / "shared" / "data" / "kuberay"
    found = definitions(directory)
    if not found:
        pytest.skip(f"no resource definitions in {directory}; ETL_RAY_KUBERAY_CRDS names another directory")
    return found


@pytest.mark.parametrize("name", MANIFESTS)
def test_its_resource_definition_accepts_it(name: str, schemas: dict[str, Document]) -> None:
    assert complaints_of_schema(read(name)[1], schemas) == []


@pytest.mark.parametrize("name", MANIFESTS)
def test_nothing_else_is_wrong_with_it(name: str) -> None:
    assert complaints(read(name)) == []


@pytest.mark.parametrize("name", MANIFESTS)
def test_commands_of_its_comments_exist(name: str) -> None:
    script = commands_of_comments((CLUSTER / f"{name}.yaml").read_text())
    inside = dockerfile.places((CLUSTER / "Dockerfile").read_text())

    assert f"kubectl apply -f cluster/{name}.yaml" in script
    assert f"kubectl delete -f cluster/{name}.yaml" in script
    assert complaints_of_commands(script, places=inside) == []


def test_both_make_the_same_cluster() -> None:
    (account, job), (other_account, cluster) = (read(name) for name in MANIFESTS)

    assert job["spec"]["rayClusterSpec"] == cluster["spec"]
    assert account == other_account


def job(documents: list[Document]) -> Document:
    return documents[1]["spec"]


def cluster(documents: list[Document]) -> Document:
    return job(documents)["rayClusterSpec"]


def workers(documents: list[Document]) -> Document:
    return cluster(documents)["workerGroupSpecs"][0]


def pod(documents: list[Document]) -> Document:
    return workers(documents)["template"]["spec"]


def container(documents: list[Document]) -> Document:
    return pod(documents)["containers"][0]


Mutation = Callable[[list[Document]], object]
OF_SCHEMA: dict[str, tuple[Mutation, str]] = {
    "an unknown field": (lambda d: job(d).update(shutdownAfterJobFinish=True), "shutdownAfterJobFinish"),
    "an unknown field of the cluster": (lambda d: cluster(d).update(workerGroups=[]), "workerGroups"),
    "an unknown field of a group": (lambda d: workers(d).update(minReplica=0), "minReplica"),
    "an unknown field of a pod": (lambda d: pod(d).update(nodeSelectors={}), "nodeSelectors"),
    "an unknown field of a container": (lambda d: container(d).update(volumeMount=[]), "volumeMount"),
    "a number as text": (lambda d: job(d).update(backoffLimit="2"), "backoffLimit"),
    "a number for a parameter": (lambda d: workers(d)["rayStartParams"].update({"num-cpus": 7}), "num-cpus"),
    "an unknown mode of tokens": (lambda d: cluster(d)["authOptions"].update(mode="tokens"), "tokens"),
    "no head": (lambda d: cluster(d).pop("headGroupSpec"), "headGroupSpec"),
}
OF_RUN: dict[str, tuple[Mutation, str]] = {
    "an unknown way to submit": (lambda d: job(d).update(submissionMode="K8sJob"), "submissionMode 'K8sJob'"),
    "a cluster that stays": (lambda d: job(d).update(shutdownAfterJobFinishes=False), "the cluster would stay"),
    "no end": (lambda d: job(d).pop("activeDeadlineSeconds"), "expected an end"),
    "a name that is none": (lambda d: d[1]["metadata"].update(name="etl_ray"), "'etl_ray' is no name"),
    "a name that is too long": (lambda d: d[1]["metadata"].update(name="e" * 48), "is no name"),
    "an unknown option": (lambda d: job(d).update(entrypoint="python -m jobs.run_etl a b --conf x"), "--conf"),
    "an option of a wrong value": (lambda d: job(d).update(entrypoint="python -m jobs.run_etl a b --engine r"), "'r'"),
    "too few arguments": (lambda d: job(d).update(entrypoint="python -m jobs.run_etl a"), "OUTPUT"),
    "a config that is not in the image": (
        lambda d: job(d).update(entrypoint="python -m jobs.run_etl a b --config /opt/etl-ray/configs/clusters.yaml"),
        "clusters.yaml",
    ),
    "an unknown job": (lambda d: job(d).update(entrypoint="python -m jobs.run a b"), "'jobs.run'"),
    "another Ray": (lambda d: cluster(d).update(rayVersion="2.59.0"), "as in constraints.txt"),
    "no tokens": (lambda d: cluster(d).pop("authOptions"), "without tokens"),
    "no autoscaling": (lambda d: cluster(d).pop("enableInTreeAutoscaling"), "no worker would be started"),
    "a head that works": (
        lambda d: cluster(d)["headGroupSpec"]["rayStartParams"].pop("num-cpus"),
        "the head would get tasks",
    ),
    "an unknown option of ray start": (
        lambda d: workers(d)["rayStartParams"].update({"object-store-memories": "1"}),
        "object-store-memories",
    ),
    "workers that stay": (lambda d: workers(d).update(replicas=1, minReplicas=1), "expected workers from 0"),
    "too little memory": (
        lambda d: [container(d)["resources"][kind].update(memory="8Gi") for kind in ("requests", "limits")],
        "too little memory",
    ),
    "requests above limits": (lambda d: container(d)["resources"]["requests"].update(cpu="8"), "requests 8, limits 7"),
    "a volume that is not there": (
        lambda d: container(d)["volumeMounts"].append({"name": "spill", "mountPath": "/spill"}),
        "volume 'spill'",
    ),
    "a volume that is not used": (
        lambda d: pod(d)["volumes"].append({"name": "x", "emptyDir": {"sizeLimit": "1Gi"}}),
        "'x'",
    ),
    "no place for files that wait": (
        lambda d: container(d)["volumeMounts"][0].update(mountPath="/scratch"),
        "wait in /tmp",
    ),
    "a volume that is too large": (
        lambda d: pod(d)["volumes"][0]["emptyDir"].update(sizeLimit="40Gi"),
        "larger than its ephemeral-storage",
    ),
    "a service account from nowhere": (lambda d: pod(d).update(serviceAccountName="default"), "'default'"),
    "another user": (lambda d: pod(d)["securityContext"].update(runAsUser=0), "the image's user"),
    "nodes that are not tolerated": (lambda d: pod(d).pop("tolerations"), "not those that are tolerated"),
    "another image": (lambda d: container(d).update(image="REGISTRY/etl-ray:2"), "different images"),
    "another kind first": (lambda d: d.reverse(), "expected a ServiceAccount"),
}


@pytest.mark.parametrize(("mutate", "told"), OF_SCHEMA.values(), ids=OF_SCHEMA)
def test_a_mistake_is_found_by_the_resource_definition(
    mutate: Mutation, told: str, schemas: dict[str, Document]
) -> None:
    documents = read("kuberay-rayjob")
    mutate(documents)

    assert any(told in text for text in complaints_of_schema(documents[1], schemas))


@pytest.mark.parametrize(("mutate", "told"), OF_RUN.values(), ids=OF_RUN)
def test_a_mistake_is_found(mutate: Mutation, told: str) -> None:
    documents = read("kuberay-rayjob")
    mutate(documents)

    assert any(told in text for text in complaints(documents))


def test_quantities_are_numbers() -> None:
    assert [str(quantity(text)) for text in ("2", "500m", "1Ki", "3G")] == ["2", "0.500", "1024", "3000000000"]
    with pytest.raises(ValueError, match="'8GB' is no quantity"):
        quantity("8GB")
