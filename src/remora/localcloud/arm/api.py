"""Wiring of ARM: from services and state to one router and the operations behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from remora.localcloud.arm.deployed import Deployed
from remora.localcloud.arm.deployment_record import DeploymentStore
from remora.localcloud.arm.deployment_routes import DeploymentRoutes
from remora.localcloud.arm.deployments import Deployments
from remora.localcloud.arm.group_deletion import GroupDeletion
from remora.localcloud.arm.groups import Groups
from remora.localcloud.arm.operations import Operations
from remora.localcloud.arm.preparation import Preparation
from remora.localcloud.arm.provider_answers import ProviderAnswers
from remora.localcloud.arm.provider_routes import ProviderRoutes
from remora.localcloud.arm.registrations import Registrations
from remora.localcloud.arm.registry import Registry
from remora.localcloud.arm.resource import Service
from remora.localcloud.arm.resource_routes import ResourceRoutes
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.store import ResourceStore
from remora.localcloud.arm.subscription import Subscription
from remora.localcloud.arm.subscription_routes import SubscriptionRoutes
from remora.localcloud.arm.tag_routes import TagRoutes
from remora.localcloud.arm.what_if import WhatIf
from remora.localcloud.state import State


@dataclass(frozen=True, slots=True)
class ArmApi:
    """The routes, still unguarded, and what works on after they have answered."""

    router: ASGIApp
    operations: Operations


def create_arm_api(
    subscription: Subscription,
    services: Sequence[Service],
    store: ResourceStore,
    state: State,
    service_routes: Sequence[BaseRoute] = (),
) -> ArmApi:
    """`service_routes` are a service's own requests under a subscription, such as checkNameAvailability."""
    registry = Registry(services)
    groups = Groups(state, subscription.id)
    operations = Operations(state)
    deployment_store = DeploymentStore(state)
    registrations = Registrations(state, registry)
    resources = Resources(registry, store, operations, groups, registrations)
    preparation = Preparation(subscription, groups, registry)
    deployments = Deployments(
        preparation=preparation,
        store=deployment_store,
        groups=groups,
        registry=registry,
        resources=resources,
        operations=operations,
    )
    deployed = Deployed(resources, groups, deployment_store)
    what_if = WhatIf(preparation, deployed, resources)
    subscription_routes = SubscriptionRoutes(
        subscription=subscription,
        resources=resources,
        operations=operations,
        groups=groups,
        group_deletion=GroupDeletion(groups, resources, deployments, operations),
    )
    resource_routes = ResourceRoutes(
        subscription=subscription,
        registry=registry,
        resources=resources,
        operations=operations,
        groups=groups,
    )
    routes = (
        *subscription_routes.routes,
        *ProviderRoutes(subscription, registry, registrations).routes,
        *TagRoutes(subscription, groups, resources, state).routes,
        *DeploymentRoutes(subscription, deployments, what_if, operations).routes,
        *service_routes,
        *resource_routes.routes,
    )
    return ArmApi(ProviderAnswers(Router(routes=routes, redirect_slashes=False)), operations)
