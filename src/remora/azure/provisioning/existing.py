"""Reads what a deployment must keep in existing resources, as parameters of the template. Deploys nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from remora.azure.app.apps import (
    ADMIN_KEY_SECRET,
    ADMIN_KEY_VARIABLE,
    API_KEY_SECRET,
    API_KEY_VARIABLE,
    ContainerApp,
)
from remora.azure.app.state import SHARE_VARIABLES, AppState
from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.share_access import IDENTITY, PARAMETER
from remora.azure.roles import FILE_CONTRIBUTOR, lacks_role, principal_id
from remora.errors import DeploymentNotFound
from remora.project.api_keys import new_secret

CPU_PROFILE = "Consumption"
OWN_SECRETS = frozenset({API_KEY_SECRET, ADMIN_KEY_SECRET})  # secrets that are parameters of the template
OWN_VARIABLES = frozenset({API_KEY_VARIABLE, ADMIN_KEY_VARIABLE, *SHARE_VARIABLES})
GPU_PROFILE_NAME = "GPU"  # the name in Remora's and AI Toolkit's templates, for any type

FRONT_PARAMETER, FRONT_SUFFIX = "frontAppName", "-front"
_FRONT_STEM = 26  # characters of the model's app in the name of its front, as in the template

Json = dict[str, Any]


def with_existing(
    clients: Clients,
    group: str,
    resource_ids: Iterable[str],
    parameters: Mapping[str, Any],
    declared: Iterable[str],
) -> Json:
    """The parameters, with additional ones that keep app and environment as they are.

    `declared` are the template's parameters: no others are added.
    """
    found, known = tuple(resource_ids), set(declared)
    apps = [name for kind, name in map(resource_name, found) if kind == "containerapps"]
    fronts = front_names(apps, parameters)
    kept = {
        **_of_app(clients, group, [name for name in apps if name not in fronts], known),
        **_of_front(clients, group, fronts),
        **_of_environment(clients, group, found, parameters),
        **_of_uploader(clients, found, parameters),
    }
    return _together({name: value for name, value in kept.items() if name in known}, parameters)


def environment_profiles(clients: Clients, group: str, resource_ids: Iterable[str]) -> list[Json]:
    """The workload profiles of the environment among these resources; none if it does not exist yet."""
    names = [name for kind, name in map(resource_name, resource_ids) if kind == "managedenvironments"]
    if not names:
        return []
    try:
        with explained(f"reading environment {names[0]!r}"):
            document: Json = clients.apps.managed_environments.get(group, names[0]).as_dict()
    except DeploymentNotFound:
        return []
    return list(document["properties"].get("workloadProfiles") or ())


def front_names(apps: Iterable[str], parameters: Mapping[str, Any]) -> list[str]:
    """Which of a template's container apps is the front of another one; none, as a rule."""
    known = list(apps)
    derived = {f"{name[:_FRONT_STEM]}{FRONT_SUFFIX}" for name in known}
    named = parameters.get(FRONT_PARAMETER)
    return [name for name in known if (name == named if named else name in derived)]


def resource_name(resource_id: str) -> tuple[str, str]:
    """(type without the provider, in lower case; name) of a resource's id."""
    parts = resource_id.rpartition("/providers/")[2].split("/")[1:]
    return "/".join(parts[::2]).lower(), "/".join(parts[1::2])


def _of_app(clients: Clients, group: str, names: Sequence[str], declared: Set[str]) -> Json:
    """Parameters that keep an app's secrets, and its serving revision's environment, scale and traffic.

    A new app gets new keys, and so does an app without keys.
    """
    app = ContainerApp(clients, group, names[0]) if names else None
    if app is None or not app.exists():
        return {"apiKey": new_secret(), "adminKey": new_secret()}
    state, secrets = app.read(), app.secrets()
    serving = app.revision(state.serving_revision) if state.serving_revision else state
    variables = [{"name": k, "value": v} for k, v in serving.environment.items() if k not in OWN_VARIABLES]
    kept: Json = {
        "apiKey": secrets.get(API_KEY_SECRET) or new_secret(),
        "adminKey": secrets.get(ADMIN_KEY_SECRET) or new_secret(),
        "environmentVariables": variables,
        "minReplicas": serving.scale.min_replicas,
        "maxReplicas": serving.scale.max_replicas,
    }
    if "otherSecrets" in declared:
        others = [item for item in app.sent_secrets() if item["name"] not in OWN_SECRETS]
        secret = _secret_variables(state)
        plain = [item for item in variables if item["name"] not in {each["name"] for each in secret}]
        kept |= {
            "otherSecrets": {"items": others},
            "environmentVariables": [*plain, *secret],
        }
    if not state.latest_ready_revision:
        return kept
    return {**kept, "revisionTraffic": _pinned(state)}


def _of_front(clients: Clients, group: str, names: Sequence[str]) -> Json:
    """Parameters that keep what a deploy has given the front: its variables and its traffic."""
    front = ContainerApp(clients, group, names[0]) if names else None
    if front is None or not front.exists():
        return {}
    state = front.read()
    serving = front.revision(state.serving_revision) if state.serving_revision else state
    variables = [{"name": k, "value": v} for k, v in serving.environment.items() if k not in OWN_VARIABLES]
    traffic = {"frontTraffic": _pinned(state)} if state.latest_ready_revision else {}
    return {"frontVariables": variables, **traffic}


def _pinned(state: AppState) -> list[Json]:
    return [share.to_json() for share in state.traffic.pinned(state.latest_ready_revision).shares]


def _secret_variables(state: AppState) -> list[Json]:
    """Variables that refer to a secret, except the template's own."""
    variables = state.template["containers"][0].get("env") or ()
    return [
        {"name": item["name"], "secretRef": item["secretRef"]}
        for item in variables
        if item.get("secretRef") and item["name"] not in OWN_VARIABLES
    ]


def _of_environment(
    clients: Clients, group: str, resource_ids: Iterable[str], parameters: Mapping[str, Any]
) -> Json:
    """Parameters that keep the environment's workload profiles, except the template's own.

    A deployment sets the whole list, and a fine-tuning job may use the same environment.
    """
    gpu = parameters.get("workloadProfile", CPU_PROFILE) != CPU_PROFILE
    own = {CPU_PROFILE, GPU_PROFILE_NAME} if gpu else {CPU_PROFILE}
    profiles = environment_profiles(clients, group, resource_ids)
    others = [profile for profile in profiles if profile["name"] not in own]
    return {"otherWorkloadProfiles": others} if others else {}


def _of_uploader(clients: Clients, resource_ids: Iterable[str], parameters: Mapping[str, Any]) -> Json:
    """The parameter that gives who deploys the role to upload, where the share takes no key.

    Nobody where they have it already: ARM refuses a second assignment of the same role.
    """
    if parameters.get(PARAMETER) != IDENTITY:
        return {}
    accounts = [one for one in resource_ids if resource_name(one)[0] == "storageaccounts"]
    if accounts and lacks_role(clients, accounts[0], FILE_CONTRIBUTOR):
        return {"uploaderId": principal_id(clients)}
    return {}


def _together(kept: Json, parameters: Mapping[str, Any]) -> Json:
    """Merge kept and user values; the user's take precedence, also for each environment variable."""
    wanted = parameters.get("environmentVariables")
    if wanted and "environmentVariables" in kept:
        named = {item.get("name") for item in wanted}
        others = [item for item in kept["environmentVariables"] if item["name"] not in named]
        return {**kept, **parameters, "environmentVariables": [*others, *wanted]}
    return {**kept, **parameters}
