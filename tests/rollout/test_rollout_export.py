"""Exported manifests against the rules that Kubernetes and Compose have for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from remora.azure.app.scale import Scale, scale_document
from remora.azure.app.state import AppState, app_state_of
from remora.errors import NotOffered
from remora.project.warm_hours import WarmHours
from remora.rollout.export.compose import compose_file
from remora.rollout.export.kubernetes import kubernetes_list, secret_name
from remora.rollout.export.workload import workload_of

Json = dict[str, Any]
KEY = "a-secret-key"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?")
KINDS = {
    "PersistentVolumeClaim": "v1",
    "Deployment": "apps/v1",
    "Service": "v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}


def state(**template: Any) -> AppState:
    """An app as our template makes it."""

    def probe(kind: str, path: str) -> Json:
        return {
            "type": kind,
            "httpGet": {"path": path, "port": 7860},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
        }

    container = {
        "name": "app",
        "image": "docker.io/library/python:3.12-slim",
        "command": ["/bin/bash", "-c", "cd /mount/$RELEASE; echo $(date); exec python3 start.py"],
        "env": [
            {"name": "REMORA_RELEASE", "value": "abc"},
            {"name": "REMORA_API_KEY", "secretRef": "remora-api-key"},
        ],
        "resources": {"cpu": 2.0, "memory": "4Gi"},
        "probes": [probe("Readiness", "/readyz"), probe("Liveness", "/healthz")],
        "volumeMounts": [{"volumeName": "v", "mountPath": "/mount"}],
    }
    whole = {"containers": [container], "scale": {"minReplicas": 0, "maxReplicas": 3}, **template}
    secrets = [{"name": "remora-api-key", "value": KEY}]
    return app_state_of({"template": whole, "configuration": {"secrets": secrets}})


def problems(document: Json) -> Iterator[str]:
    """What Kubernetes would refuse, or would accept and never run."""
    objects = {item["kind"]: item for item in document["items"]}
    for kind, item in objects.items():
        if item["apiVersion"] != KINDS[kind]:
            yield f"{kind} is of {item['apiVersion']}"
        if not NAME.fullmatch(item["metadata"]["name"]):
            yield f"{kind} has the name {item['metadata']['name']}"
    deployment = objects["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    if not deployment["selector"]["matchLabels"].items() <= labels.items():
        yield "the Deployment does not select its own pods"
    if not objects["Service"]["spec"]["selector"].items() <= labels.items():
        yield "the Service selects no pod"
    yield from pod_problems(deployment["template"]["spec"], objects)
    scaler = objects.get("HorizontalPodAutoscaler", {}).get("spec")
    if scaler and scaler["scaleTargetRef"]["name"] != objects["Deployment"]["metadata"]["name"]:
        yield "the autoscaler scales something else"
    if scaler and not 1 <= scaler["minReplicas"] <= scaler["maxReplicas"]:
        yield "the autoscaler's bounds are wrong"


def pod_problems(pod: Json, objects: Json) -> Iterator[str]:
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    ports = {port["name"] for port in container["ports"]}
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"volume {mount['name']} is missing"
    for volume in volumes.values():
        claim = volume["persistentVolumeClaim"]["claimName"]
        if claim != objects["PersistentVolumeClaim"]["metadata"]["name"]:
            yield f"claim {claim} is missing"
    for probe in (container["readinessProbe"], container["livenessProbe"]):
        if probe["httpGet"]["port"] not in ports:
            yield f"a probe asks port {probe['httpGet']['port']}"
        if min(probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) < 1:
            yield "a probe has a number below 1"
    if {port["targetPort"] for port in objects["Service"]["spec"]["ports"]} - ports:
        yield "the Service asks a port that is not there"
    for amounts in container["resources"].values():
        yield from (
            f"{amount} is no quantity" for amount in amounts.values() if not QUANTITY.fullmatch(amount)
        )


def test_the_manifests_keep_the_rules_and_no_key() -> None:
    workload = workload_of("app", state(), gpus=0)
    document = kubernetes_list(workload, storage_gib=100)
    assert list(problems(document)) == []
    assert {item["kind"] for item in document["items"]} == set(KINDS)
    assert KEY not in json.dumps(document)
    (container,) = document["items"][1]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "cd /mount/$RELEASE; echo $$(date); exec python3 start.py"
    reference = {"name": secret_name(workload), "key": "remora-api-key"}
    assert container["env"][-1] == {"name": "REMORA_API_KEY", "valueFrom": {"secretKeyRef": reference}}


def test_the_rules_find_what_is_wrong() -> None:
    document = kubernetes_list(workload_of("app", state(), gpus=0), storage_gib=100)
    document["items"][0]["metadata"]["name"] = "Other"
    document["items"][2]["spec"]["selector"] = {"app": "other"}
    document["items"][3]["spec"]["minReplicas"] = 0
    assert len(list(problems(document))) == 4


def test_one_replica_needs_no_autoscaler_and_a_gpu_is_a_limit() -> None:
    alone = state(scale={"minReplicas": 1, "maxReplicas": 1})
    document = kubernetes_list(workload_of("app", alone, gpus=2), storage_gib=5)
    assert "HorizontalPodAutoscaler" not in {item["kind"] for item in document["items"]}
    (container,) = document["items"][1]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "4Gi", "nvidia.com/gpu": "2"}


def test_hours_are_told_because_they_are_not_exported() -> None:
    hours = WarmHours.parse("Mon-Fri 08:00-18:00")
    scale = scale_document({}, Scale(0, 3, warm=(hours,), warm_replicas=1), datetime.now(UTC))
    workload = workload_of("app", state(scale=scale), gpus=0)
    assert workload.hours == "0 to 3 replicas, awake Mon-Fri 08:00-18:00 UTC"
    assert workload_of("app", state(), gpus=0).hours == ""


def test_a_compose_file_has_one_service_with_its_share_and_no_key() -> None:
    document = compose_file(workload_of("My.App", state(), gpus=1), share="./share")
    service = document["services"]["remora"]
    assert document["name"] == "my-app"
    assert service["entrypoint"][-1] == "cd /mount/$$RELEASE; echo $$(date); exec python3 start.py"
    assert service["environment"]["REMORA_API_KEY"] == "${REMORA_API_KEY:?set REMORA_API_KEY}"
    assert service["volumes"] == [{"type": "bind", "source": "./share", "target": "/mount"}]
    assert service["ports"] == ["127.0.0.1:7860:7860"]
    assert "/readyz" in service["healthcheck"]["test"][-1]
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 1
    assert KEY not in json.dumps(document)


def test_what_has_no_counterpart_is_refused_by_name() -> None:
    template = state().template
    with pytest.raises(NotOffered, match="2 containers: app, side"):
        workload_of("app", state(containers=[*template["containers"], {"name": "side"}]), gpus=0)
    bare = {**template["containers"][0], "volumeMounts": []}
    with pytest.raises(NotOffered, match="mounts 0 volumes"):
        workload_of("app", state(containers=[bare]), gpus=0)
