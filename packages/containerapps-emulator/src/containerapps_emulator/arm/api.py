"""Wires ARM together: one router and its operations, from services and state. Owns no logic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from containerapps_emulator.arm.deployments.deployed import Deployed
from containerapps_emulator.arm.deployments.deployments import Deployments
from containerapps_emulator.arm.deployments.group_deletion import GroupDeletion
from containerapps_emulator.arm.deployments.preparation import Preparation
from containerapps_emulator.arm.deployments.record import DeploymentStore
from containerapps_emulator.arm.deployments.what_if import WhatIf
from containerapps_emulator.arm.operations import Operations
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.known_versions import KnownVersions
from containerapps_emulator.arm.resources.provider_answers import ProviderAnswers
from containerapps_emulator.arm.resources.registrations import Registrations
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import Service
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.resources.store import ResourceStore
from containerapps_emulator.arm.routes.deployments import DeploymentRoutes
from containerapps_emulator.arm.routes.providers import ProviderRoutes
from containerapps_emulator.arm.routes.resources import ResourceRoutes
from containerapps_emulator.arm.routes.stacks import StackRoutes
from containerapps_emulator.arm.routes.subscriptions import SubscriptionRoutes
from containerapps_emulator.arm.routes.tags import TagRoutes
from containerapps_emulator.arm.stacks.record import StackStore
from containerapps_emulator.arm.stacks.removal import Removal
from containerapps_emulator.arm.stacks.stacks import Stacks
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.state import State


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
