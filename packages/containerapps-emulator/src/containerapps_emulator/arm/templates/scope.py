"""The scope of a deployment's expressions: its parameters, variables, loops, other resources.

Evaluates parameters and variables on first use, because they can refer to each other. Deploys nothing.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from containerapps_emulator.arm.templates.date_functions import written
from containerapps_emulator.arm.templates.expressions import (
    Call,
    ExpressionError,
    Literal,
    Node,
    NotDeployedYetError,
    evaluate_key,
    evaluate_node,
    evaluate_text,
)
from containerapps_emulator.arm.templates.functions import FUNCTIONS, call_function
from containerapps_emulator.arm.templates.ids import ID_FUNCTIONS
from containerapps_emulator.arm.templates.loops import Loop, checked_count, value_loops
from containerapps_emulator.arm.templates.surroundings import ENVIRONMENT, Surroundings
from containerapps_emulator.state import Json

Evaluator = Callable[[Node], Any]


class Runtime(Protocol):
    """Reads deployed resources. Only available once the referenced resources exist."""

    def reference(self, target: str, full: bool) -> Any:
        """The properties of a resource (or all of it), by id, name or symbol. Raises ExpressionError."""

    def references(self, target: str, full: bool) -> list[Any]:
        """As `reference`, for every resource of a loop, by the loop's name or symbol."""

    def list_action(self, target: str, action: str, body: Json) -> Any:
        """The response to POST …/{action}."""


class Scope:
    """Evaluates template values. Without a runtime, `reference` and `list…` are errors."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        parameters: Json,
        defaults: Json,
        variables: Json,
        functions: Json | None = None,
    ) -> None:
        self.surroundings = surroundings
        self.loops: dict[str, int] = {}
        """Indexes by the loop's name; `copyIndex()` without a name uses ""."""
        self._parameters = dict(parameters)
        self._defaults = defaults
        loops = value_loops(variables.get("copy")) or []
        self._variables = {**variables, **{loop.name: loop for loop in loops}}
        self._own_functions = functions or {}
        self._known_variables: Json = {}
        self._lambda_variables: Json = {}
        self._evaluating: list[str] = []
        self._runtime: Runtime | None = None

    def with_runtime(self, runtime: Runtime) -> Scope:
        """The same scope, with access to deployed resources."""
        other = copy.copy(self)
        other._runtime = runtime
        return other

    def with_parameters(self, values: Json) -> Scope:
        """The same scope, with other values of these parameters."""
        other = copy.copy(self)
        other._parameters = {**self._parameters, **values}
        other._known_variables = {}
        return other

    def with_loops(self, **indexes: int) -> Scope:
        """The same scope, inside loops."""
        other = copy.copy(self)
        other.loops = {**self.loops, **indexes}
        return other

    def evaluate(self, value: Any) -> Any:
        """`value` with evaluated expressions and unrolled loops, at any depth. Raises ExpressionError."""
        if isinstance(value, str):
            return evaluate_text(value, self.call)
        if isinstance(value, list):
            return [self.evaluate(item) for item in value]
        if isinstance(value, dict):
            return self._object(value)
        return value

    def repeat(self, loop: Loop, where: str) -> list[Any]:
        """A loop's input, once for each index."""
        count = checked_count(self.evaluate(loop.count), where)
        return [self.with_loops(**{loop.name: index}).evaluate(loop.input) for index in range(count)]

    def call(self, call: Call, evaluate_argument: Evaluator) -> Any:
        """The value of one function call; `if` evaluates only the selected branch."""
        lazy = _LAZY_FUNCTIONS.get(call.name)
        if lazy is not None:
            return lazy(self, call, evaluate_argument)
        arguments = [evaluate_argument(argument) for argument in call.arguments]
        own = _SCOPE_FUNCTIONS.get(call.name)
        if own is not None:
            return own(self, arguments)
        if call.name in ID_FUNCTIONS:
            return ID_FUNCTIONS[call.name](self.surroundings.place, _strings(call.name, arguments))
        if is_list_function(call.name):
            return self._list(call.name, arguments)
        if "." in call.name:
            return self._own_function(call.name, arguments)
        return call_function(call.name, arguments)

    def parameter(self, name: str) -> Any:
        """The given value, else the evaluated default. Raises ExpressionError."""
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

    def _object(self, value: Json) -> Json:
        result: Json = {}
        for key, item in value.items():
            loops = value_loops(item) if key.lower() == "copy" else None
            if loops is None:
                result[evaluate_key(key, self.call)] = self.evaluate(item)
            for loop in loops or ():
                result[loop.name] = self.repeat(loop, f"property '{loop.name}'")
        return result

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
        """Evaluate without access to resources. Raises ExpressionError if a definition refers to itself."""
        if what in self._evaluating:
            raise ExpressionError(f"The template {what} refers to itself: {' → '.join(self._evaluating)}.")
        self._evaluating.append(what)
        outside = copy.copy(self)
        outside._runtime, outside.loops, outside._lambda_variables = None, {}, {}
        try:
            return outside.repeat(value, what) if isinstance(value, Loop) else outside.evaluate(value)
        finally:
            self._evaluating.pop()

    def _own_function(self, name: str, arguments: list[Any]) -> Any:
        """Call a function of the template's `functions`, which can use only its arguments."""
        function = self._own_functions.get(name)
        if function is None:
            return call_function(name, arguments)  # raises the error for an unknown function
        names = [parameter["name"] for parameter in function.get("parameters") or ()]
        if len(names) != len(arguments):
            raise ExpressionError(f"The template function '{name}' takes {len(names)} argument(s).")
        what = f"function '{name}'"
        if what in self._evaluating:
            raise ExpressionError(f"The template {what} calls itself, which is not supported.")
        inside = Scope(
            self.surroundings,
            parameters=dict(zip(names, arguments, strict=True)),
            defaults={},
            variables={},
            functions=self._own_functions,
        )
        inside._evaluating = [*self._evaluating, what]
        return inside.evaluate(function["output"].get("value"))

    def _reference(self, arguments: list[Any]) -> Any:
        values = _strings("reference", arguments)
        runtime = self._need_runtime("reference")
        return runtime.reference(values[0], full=values[-1].lower() == "full")

    def _references(self, arguments: list[Any]) -> Any:
        values = _strings("references", arguments)
        runtime = self._need_runtime("references")
        return runtime.references(values[0], full=values[-1].lower() == "full")

    def _list(self, name: str, arguments: list[Any]) -> Any:
        if not 2 <= len(arguments) <= 3:
            raise ExpressionError(f"The template function '{name}' takes two or three arguments.")
        values = _strings(name, arguments[:2])
        body = arguments[2] if len(arguments) == 3 else {}
        if not isinstance(body, dict):
            raise ExpressionError(f"The third argument of the template function '{name}' must be an object.")
        return self._need_runtime(name).list_action(values[0], name, body)

    def _need_runtime(self, name: str) -> Runtime:
        if self._runtime is None:
            raise NotDeployedYetError(
                f"The template function '{name}' is not expected at this location. Please see"
                " https://aka.ms/arm-functions for usage details."
            )
        return self._runtime

    def _utc_now(self, arguments: list[Any]) -> Any:
        letters = _strings("utcNow", arguments) if arguments else []
        return self._only_in_default("utcNow", written(datetime.now(UTC), *letters))

    def _only_in_default(self, name: str, value: str) -> str:
        if not any(what.startswith("parameter ") for what in self._evaluating):
            raise ExpressionError(
                f"The template function '{name}' is not expected at this location: it is for the default"
                " values of parameters."
            )
        return value

    def _copy_index(self, arguments: list[Any]) -> int:
        """copyIndex([loop], [offset])."""
        name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        offset = arguments[-1] if arguments and isinstance(arguments[-1], int) else 0
        found = _find(self.loops, name)
        if found is None:
            raise ExpressionError(
                f"The template function 'copyIndex' is not expected at this location: there is no loop"
                f" '{name}' around it. Please see https://aka.ms/arm-copy for usage details."
            )
        return self.loops[found] + offset

    def _lambda_variable(self, arguments: list[Any]) -> Any:
        name = _one_string("lambdaVariables", arguments)
        if name not in self._lambda_variables:
            raise ExpressionError(f"The lambda variable '{name}' is not found.")
        return self._lambda_variables[name]


class _Lambda:
    """`lambda('x', …, body)`: a function of the variables that returns the body's value."""

    def __init__(self, scope: Scope, names: list[str], body: Node) -> None:
        self.arity = len(names)
        self._scope = scope
        self._names = names
        self._body = body

    def __call__(self, *values: Any) -> Any:
        inside = copy.copy(self._scope)
        given = dict(zip(self._names, values, strict=True))
        inside._lambda_variables = {**self._scope._lambda_variables, **given}
        value = evaluate_node(self._body, inside.call)
        if callable(value):
            raise ExpressionError("A lambda cannot return another lambda.")
        return value


def _if(_: Scope, call: Call, evaluate_argument: Evaluator) -> Any:
    if len(call.arguments) != 3:
        raise ExpressionError("The template function 'if' takes three arguments.")
    condition = evaluate_argument(call.arguments[0])
    if not isinstance(condition, bool):
        raise ExpressionError("The first argument of the template function 'if' must be a boolean.")
    return evaluate_argument(call.arguments[1 if condition else 2])


def _and(_: Scope, call: Call, evaluate_argument: Evaluator) -> Any:
    return _shortened("and", call, evaluate_argument, stop_at=False)


def _or(_: Scope, call: Call, evaluate_argument: Evaluator) -> Any:
    return _shortened("or", call, evaluate_argument, stop_at=True)


def _shortened(name: str, call: Call, evaluate_argument: Evaluator, *, stop_at: bool) -> bool:
    """Evaluate `and` or `or` with short-circuiting."""
    if len(call.arguments) < 2:
        raise ExpressionError(f"The template function '{name}' takes two or more arguments.")
    for argument in call.arguments:
        value = evaluate_argument(argument)
        if not isinstance(value, bool):
            raise ExpressionError(f"The arguments of the template function '{name}' must be booleans.")
        if value is stop_at:
            return stop_at
    return not stop_at


def _lambda(scope: Scope, call: Call, _: Evaluator) -> Any:
    *names, body = call.arguments or (Literal(0),)
    spelled = [name.value for name in names if isinstance(name, Literal) and isinstance(name.value, str)]
    if len(spelled) != len(names):
        raise ExpressionError("The variables of the template function 'lambda' must be strings.")
    return _Lambda(scope, spelled, body)


_LAZY_FUNCTIONS: dict[str, Callable[[Scope, Call, Evaluator], Any]] = {
    "and": _and,
    "if": _if,
    "lambda": _lambda,
    "or": _or,
}
_SCOPE_FUNCTIONS: dict[str, Callable[[Scope, list[Any]], Any]] = {
    "copyindex": Scope._copy_index,
    "deployment": lambda scope, _: scope.surroundings.deployment,
    "environment": lambda _, __: ENVIRONMENT,
    "lambdavariables": Scope._lambda_variable,
    "newguid": lambda scope, _: scope._only_in_default("newGuid", str(uuid.uuid4())),
    "parameters": lambda scope, arguments: scope.parameter(_one_string("parameters", arguments)),
    "reference": Scope._reference,
    "references": Scope._references,
    "resourcegroup": lambda scope, _: scope.surroundings.resource_group(),
    "subscription": lambda scope, _: scope.surroundings.subscription,
    "tenant": lambda scope, _: {"tenantId": scope.surroundings.tenant_id},
    "utcnow": Scope._utc_now,
    "variables": Scope._variable,
}


def is_list_function(name: str) -> bool:
    """`listKeys`, `listSecrets` …: any name that starts with "list" is an action of a resource."""
    return name.startswith("list") and name not in FUNCTIONS and "." not in name


def _find(values: Mapping[str, Any], name: str) -> str | None:
    """The key as written, compared case-insensitively."""
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
