"""Wires ARM together: one router and its operations, from services and state. Owns no logic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from remora.localcloud.arm.deployments.deployed import Deployed
from remora.localcloud.arm.deployments.deployments import Deployments
from remora.localcloud.arm.deployments.group_deletion import GroupDeletion
from remora.localcloud.arm.deployments.preparation import Preparation
from remora.localcloud.arm.deployments.record import DeploymentStore
from remora.localcloud.arm.deployments.what_if import WhatIf
from remora.localcloud.arm.operations import Operations
from remora.localcloud.arm.resources.groups import Groups
from remora.localcloud.arm.resources.known_versions import KnownVersions
from remora.localcloud.arm.resources.provider_answers import ProviderAnswers
from remora.localcloud.arm.resources.registrations import Registrations
from remora.localcloud.arm.resources.registry import Registry
from remora.localcloud.arm.resources.resource import Service
from remora.localcloud.arm.resources.resources import Resources
from remora.localcloud.arm.resources.store import ResourceStore
from remora.localcloud.arm.routes.deployments import DeploymentRoutes
from remora.localcloud.arm.routes.providers import ProviderRoutes
from remora.localcloud.arm.routes.resources import ResourceRoutes
from remora.localcloud.arm.routes.stacks import StackRoutes
from remora.localcloud.arm.routes.subscriptions import SubscriptionRoutes
from remora.localcloud.arm.routes.tags import TagRoutes
from remora.localcloud.arm.stacks.record import StackStore
from remora.localcloud.arm.stacks.removal import Removal
from remora.localcloud.arm.stacks.stacks import Stacks
from remora.localcloud.arm.subscription import Subscription
from remora.localcloud.state import State


@dataclass(frozen=True, slots=True)
class ArmApi:
    """The routes, without authentication, and the operations that continue after a response."""

    router: ASGIApp
    operations: Operations


def create_arm_api(
    subscription: Subscription,
    services: Sequence[Service],
    store: ResourceStore,
    state: State,
    service_routes: Sequence[BaseRoute] = (),
) -> ArmApi:
    """`service_routes` are a service's own routes under a subscription, such as checkNameAvailability."""
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
    stack_store = StackStore(state)
    group_deletion = GroupDeletion(groups, resources, deployments, operations, stack_store.forget_group)
    stacks = Stacks(
        store=stack_store,
        groups=groups,
        deployments=deployments,
        removal=Removal(resources, groups, group_deletion, operations),
        operations=operations,
    )
    subscription_routes = SubscriptionRoutes(
        subscription=subscription,
        resources=resources,
        operations=operations,
        groups=groups,
        group_deletion=group_deletion,
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
        *StackRoutes(subscription, stacks, operations).routes,
        *service_routes,
        *resource_routes.routes,
    )
    router = ProviderAnswers(Router(routes=routes, redirect_slashes=False))
    return ArmApi(KnownVersions(router, groups, registry), operations)
