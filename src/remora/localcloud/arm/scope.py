"""What an expression of one deployment can see: its parameters, variables, resource group, other resources.

Parameters and variables are evaluated when first asked for, since they may refer to each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from remora.localcloud.arm.expressions import Call, ExpressionError, Node, evaluate
from remora.localcloud.arm.functions import FUNCTIONS, call_function
from remora.localcloud.state import Json

Evaluator = Callable[[Node], Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a deployment happens."""

    subscription: Json
    tenant_id: str
    group: Json
    deployment_name: str


class Runtime(Protocol):
    """Looks at deployed resources. Only available once the resources that are asked for exist."""

    def reference(self, target: str, full: bool) -> Any:
        """The properties of a resource (or all of it), by id, name or symbol. Raises ExpressionError."""

    def list_action(self, target: str, action: str) -> Any:
        """What POST …/{action} answers."""


class Scope:
    """Evaluates template values. Without a runtime, `reference` and `list…` are errors."""

    def __init__(
        self, surroundings: Surroundings, *, parameters: Json, defaults: Json, variables: Json
    ) -> None:
        self._surroundings = surroundings
        self._parameters = dict(parameters)
        self._defaults = defaults
        self._variables = variables
        self._known_variables: Json = {}
        self._evaluating: list[str] = []
        self._runtime: Runtime | None = None
        self._functions: dict[str, Callable[[list[Any]], Any]] = {
            "parameters": lambda arguments: self.parameter(_one_string("parameters", arguments)),
            "variables": self._variable,
            "resourcegroup": lambda _: surroundings.group,
            "subscription": lambda _: surroundings.subscription,
            "tenant": lambda _: {"tenantId": surroundings.tenant_id},
            "deployment": lambda _: {"name": surroundings.deployment_name},
            "resourceid": self._resource_id,
            "subscriptionresourceid": self._subscription_resource_id,
            "reference": self._reference,
            "newguid": lambda _: self._only_in_default("newGuid", str(uuid.uuid4())),
            "utcnow": self._utc_now,
        }

    def with_runtime(self, runtime: Runtime) -> Scope:
        """The same scope, able to look at deployed resources."""
        other = Scope(
            self._surroundings,
            parameters=self._parameters,
            defaults=self._defaults,
            variables=self._variables,
        )
        other._runtime = runtime
        return other

    def evaluate(self, value: Any) -> Any:
        """`value` with its expressions replaced. Raises ExpressionError."""
        return evaluate(value, self.call)

    def call(self, call: Call, evaluate_argument: Evaluator) -> Any:
        """The value of one function call; `if` evaluates only the branch that it takes."""
        if call.name == "if":
            return self._if(call, evaluate_argument)
        arguments = [evaluate_argument(argument) for argument in call.arguments]
        own = self._functions.get(call.name)
        if own is not None:
            return own(arguments)
        if is_list_function(call.name):
            return self._list(call.name, arguments)
        return call_function(call.name, arguments)

    def parameter(self, name: str) -> Any:
        """The value given, else the default, evaluated. Raises ExpressionError."""
        known = _find(self._parameters, name)
        if known is not None:
            return self._parameters[known]
        defined = _find(self._defaults, name)
        if defined is None:
            raise ExpressionError(
                f"The template parameter '{name}' is not found. Please see https://aka.ms/arm-syntax-parameters"
                " for usage details."
            )
        self._parameters[defined] = self._guarded(f"parameter '{defined}'", self._defaults[defined])
        return self._parameters[defined]

    @staticmethod
    def _if(call: Call, evaluate_argument: Evaluator) -> Any:
        if len(call.arguments) != 3:
            raise ExpressionError("The template function 'if' takes three arguments.")
        condition = evaluate_argument(call.arguments[0])
        if not isinstance(condition, bool):
            raise ExpressionError("The first argument of the template function 'if' must be a boolean.")
        return evaluate_argument(call.arguments[1 if condition else 2])

    def _variable(self, arguments: list[Any]) -> Any:
        name = _one_string("variables", arguments)
        known = _find(self._known_variables, name)
        if known is not None:
            return self._known_variables[known]
        defined = _find(self._variables, name)
        if defined is None:
            raise ExpressionError(
                f"The template variable '{name}' is not found. Please see https://aka.ms/arm-syntax-variables"
                " for usage details."
            )
        self._known_variables[defined] = self._guarded(f"variable '{defined}'", self._variables[defined])
        return self._known_variables[defined]

    def _guarded(self, what: str, value: Any) -> Any:
        """Evaluate, refusing a definition that needs itself; parameters and variables never see resources."""
        if what in self._evaluating:
            raise ExpressionError(f"The template {what} refers to itself: {' → '.join(self._evaluating)}.")
        self._evaluating.append(what)
        runtime, self._runtime = self._runtime, None
        try:
            return self.evaluate(value)
        finally:
            self._runtime = runtime
            self._evaluating.pop()

    def _resource_id(self, arguments: list[Any]) -> str:
        """resourceId([subscription, [group,]] type, name…)."""
        values = _strings("resourceId", arguments)
        at = next((index for index, value in enumerate(values) if "/" in value), None)
        if at is None or at > 2:
            raise ExpressionError(
                "Unable to evaluate template language function 'resourceId': a resource type such as"
                " 'Microsoft.App/containerApps' is expected."
            )
        before = values[:at]
        subscription = before[0] if at == 2 else self._surroundings.subscription["subscriptionId"]
        group = before[-1] if before else self._surroundings.group["name"]
        return f"/subscriptions/{subscription}/resourceGroups/{group}" + _provider_path(
            values[at], values[at + 1 :]
        )

    def _subscription_resource_id(self, arguments: list[Any]) -> str:
        values = _strings("subscriptionResourceId", arguments)
        at = 0 if "/" in values[0] else 1
        subscription = values[0] if at else self._surroundings.subscription["subscriptionId"]
        return f"/subscriptions/{subscription}" + _provider_path(values[at], values[at + 1 :])

    def _reference(self, arguments: list[Any]) -> Any:
        values = _strings("reference", arguments)
        if not 1 <= len(values) <= 3:
            raise ExpressionError("The template function 'reference' takes one to three arguments.")
        runtime = self._need_runtime("reference")
        return runtime.reference(values[0], full=len(values) == 3 and values[2].lower() == "full")

    def _list(self, name: str, arguments: list[Any]) -> Any:
        if not 2 <= len(arguments) <= 3:
            raise ExpressionError(f"The template function '{name}' takes two or three arguments.")
        values = _strings(name, arguments[:2])
        return self._need_runtime(name).list_action(values[0], name)

    def _need_runtime(self, name: str) -> Runtime:
        if self._runtime is None:
            raise ExpressionError(
                f"The template function '{name}' is not expected at this location. Please see"
                " https://aka.ms/arm-functions for usage details."
            )
        return self._runtime

    def _utc_now(self, arguments: list[Any]) -> Any:
        if arguments:
            raise ExpressionError("The format of 'utcNow' is not supported by the local cloud.")
        return self._only_in_default("utcNow", datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))

    def _only_in_default(self, name: str, value: str) -> str:
        if not any(what.startswith("parameter ") for what in self._evaluating):
            raise ExpressionError(
                f"The template function '{name}' is not expected at this location: it is for the default"
                " values of parameters."
            )
        return value


def is_list_function(name: str) -> bool:
    """`listKeys`, `listSecrets` …: any name that starts with "list" is an action of a resource."""
    return name.startswith("list") and name not in FUNCTIONS


def _find(values: Mapping[str, Any], name: str) -> str | None:
    """The key as written, compared without regard to case."""
    if name in values:
        return name
    return next((key for key in values if key.lower() == name.lower()), None)


def _one_string(function: str, arguments: list[Any]) -> str:
    values = _strings(function, arguments)
    if len(values) != 1:
        raise ExpressionError(f"The template function '{function}' takes one argument.")
    return values[0]


def _strings(function: str, arguments: list[Any]) -> list[str]:
    if not arguments or not all(isinstance(argument, str) for argument in arguments):
        raise ExpressionError(f"The arguments of the template function '{function}' must be strings.")
    return arguments


def _provider_path(full_type: str, names: list[str]) -> str:
    namespace, *types = full_type.split("/")
    if len(types) != len(names):
        raise ExpressionError(
            f"Unable to evaluate template language function 'resourceId': the type '{full_type}' requires"
            f" '{len(types)}' resource name argument(s)."
        )
    pairs = "".join(f"/{kind}/{name}" for kind, name in zip(types, names, strict=True))
    return f"/providers/{namespace}{pairs}"
