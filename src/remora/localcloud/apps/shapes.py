"""The JSON types of what clients send to Container Apps."""

from __future__ import annotations

from typing import Final

NUMBER: Final = (int, float)
COUNT: Final = (int, str)  # the Azure CLI writes some numbers as texts
PORTED: Final = {"port": int}
PROBE: Final = {
    "type": str,
    "httpGet": {
        **PORTED,
        "path": str,
        "scheme": str,
        "httpHeaders": [{"name": str, "value": str}],
    },
    "tcpSocket": PORTED,
    "initialDelaySeconds": int,
    "periodSeconds": int,
    "timeoutSeconds": int,
    "successThreshold": int,
    "failureThreshold": int,
    "terminationGracePeriodSeconds": int,
}
CONTAINER: Final = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str, "secretRef": str}],
    "probes": [PROBE],
    "resources": {"cpu": (*NUMBER, str), "memory": str},
    "volumeMounts": [{"volumeName": str, "mountPath": str, "subPath": str}],
}
RULE: Final = {"name": str, "http": {"metadata": {"concurrentRequests": COUNT}}}
CONTAINER_APP: Final = {
    "environmentId": str,
    "managedEnvironmentId": str,
    "workloadProfileName": str,
    "configuration": {
        "activeRevisionsMode": str,
        "maxInactiveRevisions": int,
        "secrets": [{"name": str, "value": str}],
        "ingress": {
            "transport": str,
            "targetPort": int,
            "stickySessions": {"affinity": str},
            "traffic": [{"weight": COUNT, "revisionName": str, "label": str, "latestRevision": bool}],
        },
    },
    "template": {
        "revisionSuffix": str,
        "terminationGracePeriodSeconds": int,
        "containers": [CONTAINER],
        "initContainers": [dict],
        "volumes": [{"name": str, "storageType": str, "storageName": str}],
        "scale": {
            "minReplicas": int,
            "maxReplicas": int,
            "cooldownPeriod": int,
            "pollingInterval": int,
            "rules": [RULE],
        },
    },
}
ENVIRONMENT: Final = {
    "workloadProfiles": [dict],
    "appLogsConfiguration": {"logAnalyticsConfiguration": {"customerId": str, "sharedKey": str}},
}
STORAGE: Final = {
    "azureFile": {"accountName": str, "accountKey": str, "shareName": str, "accessMode": str},
}
