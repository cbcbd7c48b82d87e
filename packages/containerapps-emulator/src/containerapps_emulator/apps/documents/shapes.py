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
    "imageType": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str, "secretRef": str}],
    "probes": [PROBE],
    "resources": {"cpu": (*NUMBER, str), "memory": str},
    "volumeMounts": [{"volumeName": str, "mountPath": str, "subPath": str}],
}
RULE: Final = {
    "name": str,
    "http": {"metadata": {"concurrentRequests": COUNT}},
    "tcp": dict,
    "custom": {"type": str, "metadata": dict},
    "azureQueue": dict,
}
VOLUME: Final = {
    "name": str,
    "storageType": str,
    "storageName": str,
    "mountOptions": str,
    "secrets": [{"secretRef": str, "path": str}],
}
SECRET: Final = {"name": str, "value": str, "keyVaultUrl": str, "identity": str}
REGISTRY: Final = {"server": str, "username": str, "passwordSecretRef": str, "identity": str}
IDENTITY_SETTING: Final = {"identity": str, "lifecycle": str}
CONTAINER_APP: Final = {
    "environmentId": str,
    "managedEnvironmentId": str,
    "workloadProfileName": str,
    "patchingMode": str,
    "configuration": {
        "activeRevisionsMode": str,
        "targetLabel": str,
        "maxInactiveRevisions": int,
        "revisionTransitionThreshold": int,
        "secrets": [SECRET],
        "registries": [REGISTRY],
        "identitySettings": [IDENTITY_SETTING],
        "dapr": {"enabled": bool, "appId": str},
        "runtime": dict,
        "service": {"type": str},
        "ingress": {
            "external": bool,
            "allowInsecure": bool,
            "transport": str,
            "targetPort": int,
            "exposedPort": int,
            "clientCertificateMode": str,
            "targetPortHttpScheme": str,
            "corsPolicy": dict,
            "customDomains": [{"name": str, "bindingType": str, "certificateId": str}],
            "additionalPortMappings": [{"targetPort": int}],
            "ipSecurityRestrictions": [{"name": str, "ipAddressRange": str, "action": str}],
            "stickySessions": {"affinity": str},
            "traffic": [{"weight": COUNT, "revisionName": str, "label": str, "latestRevision": bool}],
        },
    },
    "template": {
        "revisionSuffix": str,
        "terminationGracePeriodSeconds": int,
        "containers": [CONTAINER],
        "initContainers": [CONTAINER],
        "volumes": [VOLUME],
        "serviceBinds": [dict],
        "scale": {
            "minReplicas": int,
            "maxReplicas": int,
            "cooldownPeriod": int,
            "pollingInterval": int,
            "rules": [RULE],
        },
    },
}
TRIGGER: Final = {"replicaCompletionCount": int, "parallelism": int}
JOB: Final = {
    "environmentId": str,
    "workloadProfileName": str,
    "configuration": {
        "secrets": [SECRET],
        "triggerType": str,
        "replicaTimeout": int,
        "replicaRetryLimit": int,
        "manualTriggerConfig": TRIGGER,
        "scheduleTriggerConfig": {**TRIGGER, "cronExpression": str},
        "eventTriggerConfig": {
            **TRIGGER,
            "scale": {"minExecutions": int, "maxExecutions": int, "pollingInterval": int, "rules": [dict]},
        },
        "registries": [REGISTRY],
        "dapr": dict,
        "identitySettings": [IDENTITY_SETTING],
    },
    "template": {"containers": [CONTAINER], "initContainers": [CONTAINER], "volumes": [VOLUME]},
}
ENVIRONMENT: Final = {
    "workloadProfiles": [dict],
    "appLogsConfiguration": {
        "destination": str,
        "logAnalyticsConfiguration": {"customerId": str, "sharedKey": str, "dynamicJsonColumns": bool},
    },
    "customDomainConfiguration": dict,
    "infrastructureResourceGroup": str,
    "peerAuthentication": {"mtls": {"enabled": bool}},
    "peerTrafficConfiguration": {"encryption": {"enabled": bool}},
    "publicNetworkAccess": str,
    "vnetConfiguration": {"internal": bool, "infrastructureSubnetId": str},
    "zoneRedundant": bool,
}
CERTIFICATE: Final = {"value": str, "password": str, "certificateKeyVaultProperties": dict}
MANAGED_CERTIFICATE: Final = {"subjectName": str, "domainControlValidation": str}
STORAGE: Final = {
    "azureFile": {"accountName": str, "accountKey": str, "shareName": str, "accessMode": str},
}
