"""Fields of an instance of Compute Engine, as its API names and types them, of which Ray's launcher checks none."""

from __future__ import annotations

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_WHOLE = {"type": ["integer", "string"]}
_LABELS = {"type": "object", "additionalProperties": _TEXT}


def _list(items: dict[str, object]) -> dict[str, object]:
    return {"type": "array", "items": items}


def _object(**properties: dict[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _one_of(*values: str) -> dict[str, object]:
    return {"enum": list(values)}


_DISK = _object(
    autoDelete=_FLAG,
    boot=_FLAG,
    deviceName=_TEXT,
    diskSizeGb=_WHOLE,
    initializeParams=_object(
        description=_TEXT,
        diskName=_TEXT,
        diskSizeGb=_WHOLE,
        diskType=_TEXT,
        labels=_LABELS,
        provisionedIops=_WHOLE,
        provisionedThroughput=_WHOLE,
        resourcePolicies=_list(_TEXT),
        sourceImage=_TEXT,
        sourceSnapshot=_TEXT,
        storagePool=_TEXT,
    ),
    interface=_one_of("NVME", "SCSI"),
    mode=_one_of("READ_ONLY", "READ_WRITE"),
    source=_TEXT,
    type=_one_of("PERSISTENT", "SCRATCH"),
)

_SCHEDULING = _object(
    automaticRestart=_FLAG,
    instanceTerminationAction=_one_of("DELETE", "STOP"),
    maxRunDuration=_object(seconds=_WHOLE, nanos={"type": "integer"}),
    minNodeCpus={"type": "integer"},
    onHostMaintenance=_one_of("MIGRATE", "TERMINATE"),
    preemptible=_FLAG,
    provisioningModel=_one_of("FLEX_START", "RESERVATION_BOUND", "SPOT", "STANDARD"),
    terminationTime=_TEXT,
)

_NETWORK_INTERFACE = _object(
    accessConfigs=_list(
        _object(name=_TEXT, natIP=_TEXT, networkTier=_TEXT, type=_one_of("DIRECT_IPV6", "ONE_TO_ONE_NAT"))
    ),
    network=_TEXT,
    networkIP=_TEXT,
    nicType=_TEXT,
    stackType=_one_of("IPV4_IPV6", "IPV4_ONLY", "IPV6_ONLY"),
    subnetwork=_TEXT,
)

INSTANCE = _object(
    canIpForward=_FLAG,
    deletionProtection=_FLAG,
    description=_TEXT,
    disks=_list(_DISK),
    labels=_LABELS,
    machineType=_TEXT,
    metadata=_object(items=_list(_object(key=_TEXT, value=_TEXT))),
    minCpuPlatform=_TEXT,
    networkInterfaces=_list(_NETWORK_INTERFACE),
    resourcePolicies=_list(_TEXT),
    scheduling=_SCHEDULING,
    serviceAccounts=_list(_object(email=_TEXT, scopes=_list(_TEXT))),
    shieldedInstanceConfig=_object(enableIntegrityMonitoring=_FLAG, enableSecureBoot=_FLAG, enableVtpm=_FLAG),
    sourceInstanceTemplate=_TEXT,
    tags=_object(items=_list(_TEXT)),
)
"""A JSON schema of what a node type may say on Google's cloud; fields that only Google fills in are left out."""
