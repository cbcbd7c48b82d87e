"""Writes a template's `resources`: loops, conditions, names, nested deployments. Collects no declarations."""

from __future__ import annotations

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.decorators import decorations, described
from remora.azure.bicep.translation.dependencies import depends_on, mention_declared
from remora.azure.bicep.translation.naming import (
    DEPLOYMENTS,
    DEPLOYMENTS_VERSION,
    MANAGEMENT_GROUPS,
    is_runtime,
)
from remora.azure.bicep.translation.symbols import Module, Program, Reference, Resource
from remora.azure.bicep.translation.terms import Json, access, call, copy_document, to_json, to_object
from remora.azure.bicep.translation.translator import Translator

OUTSIDE_THE_BODY = ("name", "parent", "scope", "dependsOn")
PARTS_OF_A_MODULE = ("name", "params", "scope", "dependsOn")
HERE = "[subscription().subscriptionId]"


def document(program: Program, target: Resource | Module) -> dict[str, Json]:
    """One entry of the template's resources. Raises InvalidFile."""
    translator = Translator(program).inside(Reference(target))
    decorated = decorations(program, target.decorators, allowed=("description", "batchSize"))
    _require_known_before(translator, target)
    found = _loop(translator, target, decorated.get("batchSize"))
    found |= _condition(translator, target)
    if isinstance(target, Module):
        found |= _module(translator, target)
    else:
        found |= _resource(translator, target)
    mention_declared(translator, target)
    waits = depends_on(translator, target)
    if waits:
        found["dependsOn"] = waits
    return described(found, decorated)


def _require_known_before(translator: Translator, target: Resource | Module) -> None:
    """Names, conditions and the lengths of loops are computed before anything is deployed."""
    refuse = translator.program.source.refuse
    if isinstance(target, Resource) and target.existing:
        return  # it is only read, when the deployment runs
    if target.loop is not None and is_runtime(translator.term(target.loop.source)):
        raise refuse(target.loop.source.at, "the loop must be known before the deployment")
    if target.condition is not None and is_runtime(translator.term(target.condition)):
        raise refuse(target.condition.at, "the condition must be known before the deployment")
    name = target.body.properties.get("name")
    if name is not None and is_runtime(translator.term(name)):
        raise refuse(name.at, "the name must be known before the deployment, and this reads a resource")


def _loop(translator: Translator, target: Resource | Module, batch_size: Json) -> dict[str, Json]:
    if target.loop is None:
        if batch_size is not None:
            raise translator.program.source.refuse(target.at, "@batchSize() is for loops")
        return {}
    source = Translator(translator.program, home=target.outer, mentions=translator.mentions).term(
        target.loop.source
    )
    copy: dict[str, Json] = {"name": target.symbol, "count": to_json(call("length", source))}
    if batch_size is not None:
        copy |= {"mode": "serial", "batchSize": batch_size}
    return {"copy": copy}


def _condition(translator: Translator, target: Resource | Module) -> dict[str, Json]:
    """A resource's condition, combined with those of the resources that it is nested in."""
    conditions = [target.condition]
    outer = target.outer
    while outer is not None:
        conditions.insert(0, outer.condition)
        outer = outer.outer
    terms = [translator.term(condition) for condition in conditions if condition is not None]
    if not terms:
        return {}
    whole = terms[0]
    for further in terms[1:]:
        whole = call("and", whole, further)
    return {"condition": to_json(whole)}


def _resource(translator: Translator, target: Resource) -> dict[str, Json]:
    document: dict[str, Json] = {"existing": True} if target.existing else {}
    document |= {"type": target.type, "apiVersion": target.api_version}
    document |= _scope(translator, target)
    document["name"] = to_json(translator.full_name(target))
    for entry in target.body.entries:
        if isinstance(entry, nodes.Spread):
            raise translator.program.source.refuse(entry.at, "a resource's top level cannot have a spread")
    entries = tuple(
        entry
        for entry in target.body.entries
        if isinstance(entry, nodes.Property) and entry.key.literal not in OUTSIDE_THE_BODY
    )
    return document | to_object(translator.properties(entries))


def _scope(translator: Translator, target: Resource | Module) -> dict[str, Json]:
    """The properties that say where an entry is deployed, if that is not where its file is."""
    scope, here = translator.scope(target), translator.program.target
    if scope is None:
        return {}
    values = [to_json(value) for value in scope.values]
    is_new = isinstance(target, Resource) and not target.existing
    if scope.kind == "resource" and isinstance(target, Resource):
        return {"scope": values[0]}
    if scope.kind == "tenant":
        return {"scope": "/"}
    if is_new or scope.kind == "resource":
        raise translator.program.source.refuse(
            target.at, f"this file is deployed to its {here}: put the resource into a module with this scope"
        )
    if scope.kind == "managementGroup":
        # A deployment to a tenant or management group expects the id without its leading provider.
        full = here in ("resourceGroup", "subscription")
        name = scope.values[0]
        within = (
            call("tenantResourceId", MANAGEMENT_GROUPS, name)
            if full
            else call("format", MANAGEMENT_GROUPS + "/{0}", name)
        )
        return {"scope": to_json(within)}
    if scope.kind == "subscription":
        return {"subscriptionId": values[0]} if values else {"subscriptionId": HERE}
    subscription = {} if values[0] == HERE else {"subscriptionId": values[0]}
    return {**subscription, "resourceGroup": values[1]}


def _location(translator: Translator, target: Module) -> dict[str, Json]:
    """Where Azure keeps the record of a deployment that is in no resource group."""
    here = translator.program.target
    scope = translator.scope(target)
    if (scope.kind if scope is not None else here) == "resourceGroup":
        return {}
    reader = "resourceGroup" if here == "resourceGroup" else "deployment"
    return {"location": to_json(access(call(reader), "location"))}


def _require_target(translator: Translator, target: Module) -> None:
    scope = translator.scope(target)
    kind = scope.kind if scope is not None else translator.program.target
    if kind != target.target:
        raise translator.program.source.refuse(
            target.at, f"the module is for a {target.target}, and its scope is a {kind}"
        )


def _module(translator: Translator, target: Module) -> dict[str, Json]:
    for name, node in target.body.properties.items():
        if name not in PARTS_OF_A_MODULE:
            raise translator.program.source.refuse(node.at, f"a module has no {name!r}")
    _require_target(translator, target)
    properties: dict[str, Json] = {"expressionEvaluationOptions": {"scope": "inner"}, "mode": "Incremental"}
    parameters = _arguments(translator, target)
    if parameters is not None:
        properties["parameters"] = parameters
    properties["template"] = dict(target.template)
    return {
        "type": DEPLOYMENTS,
        "apiVersion": DEPLOYMENTS_VERSION,
        "name": to_json(translator.own_name(target)),
        **_scope(translator, target),
        **_location(translator, target),
        "properties": properties,
    }


def _arguments(translator: Translator, target: Module) -> dict[str, Json] | None:
    """The values of the module's parameters, checked against its declarations."""
    source = translator.program.source
    given = target.body.properties.get("params")
    if given is not None and not isinstance(given, nodes.Object):
        raise source.refuse(given.at, "params must be an object")
    declared = target.template.get("parameters", {})
    known = declared if isinstance(declared, dict) else {}
    values = given.properties if given is not None else {}
    if given is not None and len(values) != len(given.entries):
        raise source.refuse(given.at, "the params of a module need plain names")
    for name, node in values.items():
        if name not in known:
            raise source.refuse(node.at, f"the module has no parameter {name!r}")
    missing = [name for name, parameter in known.items() if name not in values and _is_required(parameter)]
    if missing:
        raise source.refuse((given or target).at, f"the module needs the parameter {missing[0]!r}")
    return {name: _argument(translator, node) for name, node in values.items()} if given is not None else None


def _is_required(parameter: Json) -> bool:
    return isinstance(parameter, dict) and "defaultValue" not in parameter and not parameter.get("nullable")


def _argument(translator: Translator, node: nodes.Expression) -> Json:
    if isinstance(node, nodes.For):
        return {"copy": [copy_document(translator.loop(node, "value"), "value")]}
    return _secret(translator, node) or {"value": to_json(translator.value(node))}


def _secret(translator: Translator, node: nodes.Expression) -> dict[str, Json] | None:
    """`vault.getSecret(name, version)`, which is allowed only as a parameter of a module."""
    if not isinstance(node, nodes.Invoke) or not isinstance(node.function, nodes.Get):
        return None
    vault = translator.reference(node.function.target)
    if vault is None or node.function.key != nodes.String(node.function.key.at, ("getSecret",)):
        return None
    if not 1 <= len(node.arguments) <= 2:
        raise translator.program.source.refuse(node.at, "getSecret takes a name and optionally a version")
    translator.mention(vault, weak=True)
    names = [to_json(translator.term(argument)) for argument in node.arguments]
    found: dict[str, Json] = {"keyVault": {"id": to_json(translator.id_of(vault))}, "secretName": names[0]}
    return {"reference": found | ({"secretVersion": names[1]} if len(names) > 1 else {})}
