"""A workload as Kubernetes objects: PersistentVolumeClaim, Deployment, Service and HorizontalPodAutoscaler.

Plain objects of built-in kinds, in one List that `kubectl apply -f` takes. The Secret with the keys is not
among them: the manifests can be kept in a repository.
"""

from __future__ import annotations

from typing import Any

from remora.rollout.export.workload import Probe, Workload

HTTP_PORT = "http"
_SERVICE_PORT = 80
_VOLUME = "share"
_BUSY_PERCENT = 70
_PROBES = {"Readiness": "readinessProbe", "Liveness": "livenessProbe", "Startup": "startupProbe"}

Json = dict[str, Any]


def kubernetes_list(workload: Workload, *, storage_gib: int) -> Json:
    """The List. The claim is for a storage class that several nodes can write, such as azurefile-csi."""
    items = [_claim(workload, storage_gib), _deployment(workload), _service(workload)]
    if workload.max_replicas > 1:
        items.append(_autoscaler(workload))
    return {"apiVersion": "v1", "kind": "List", "items": items}


def secret_name(workload: Workload) -> str:
    """The name of the Secret that the Deployment reads its keys from."""
    return f"{workload.name}-keys"


def _claim(workload: Workload, storage_gib: int) -> Json:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": f"{storage_gib}Gi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(workload, f"{workload.name}-share"),
        "spec": spec,
    }


def _deployment(workload: Workload) -> Json:
    pod = {
        "terminationGracePeriodSeconds": workload.grace_seconds,
        "containers": [_container(workload)],
        "volumes": [
            {"name": _VOLUME, "persistentVolumeClaim": {"claimName": f"{workload.name}-share"}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(workload, workload.name),
        "spec": {
            "replicas": max(workload.min_replicas, 1),
            "selector": {"matchLabels": _labels(workload)},
            # The new pod answers before the old one leaves, as a revision does on Container Apps.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": _labels(workload)}, "spec": pod},
        },
    }


def _container(workload: Workload) -> Json:
    amounts: Json = {"cpu": f"{workload.cpu:g}", "memory": f"{workload.memory_gib:g}Gi"}
    gpus = {"nvidia.com/gpu": str(workload.gpus)} if workload.gpus else {}
    plain = [{"name": name, "value": _literal(value)} for name, value in workload.variables.items()]
    keys = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name(workload), "key": secret}}}
        for name, secret in workload.secrets.items()
    ]
    return {
        "name": workload.name,
        "image": workload.image,
        **({"command": [_literal(word) for word in workload.command]} if workload.command else {}),
        **({"args": [_literal(word) for word in workload.args]} if workload.args else {}),
        "env": [*plain, *keys],
        "ports": [{"name": HTTP_PORT, "containerPort": workload.port}],
        "resources": {"requests": amounts, "limits": {"memory": amounts["memory"], **gpus}},
        "volumeMounts": [{"name": _VOLUME, "mountPath": workload.mount}],
        **{_PROBES[probe.kind]: _probe(probe) for probe in workload.probes},
    }


def _literal(text: str) -> str:
    """Kubernetes replaces `$(NAME)` in commands and values; `$$(` stays as `$(`."""
    return text.replace("$(", "$$(")


def _probe(probe: Probe) -> Json:
    return {
        "httpGet": {"path": probe.path, "port": HTTP_PORT},
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
    }


def _service(workload: Workload) -> Json:
    ports = [{"name": HTTP_PORT, "port": _SERVICE_PORT, "targetPort": HTTP_PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(workload, workload.name),
        "spec": {"selector": _labels(workload), "ports": ports},
    }


def _autoscaler(workload: Workload) -> Json:
    """By CPU: the built-in autoscaler knows neither requests nor zero replicas."""
    target = {"type": "Utilization", "averageUtilization": _BUSY_PERCENT}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(workload, workload.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": max(workload.min_replicas, 1),
            "maxReplicas": workload.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def _metadata(workload: Workload, name: str) -> Json:
    return {"name": name, "labels": _labels(workload)}


def _labels(workload: Workload) -> Json:
    return {"app.kubernetes.io/name": "remora", "app.kubernetes.io/instance": workload.name}
