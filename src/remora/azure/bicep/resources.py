"""Resources and modules as a template's `resources`: loops, conditions, names, nested deployments."""

from __future__ import annotations

from remora.azure.bicep import nodes
from remora.azure.bicep.decorators import decorations, described
from remora.azure.bicep.dependencies import depends_on, mention_declared
from remora.azure.bicep.naming import DEPLOYMENTS, DEPLOYMENTS_VERSION
from remora.azure.bicep.symbols import Module, Program, Reference, Resource
from remora.azure.bicep.terms import Json, call, copy_document, to_json, to_object
from remora.azure.bicep.translator import Translator

OUTSIDE_THE_BODY = ("name", "parent", "scope", "dependsOn")
PARTS_OF_A_MODULE = ("name", "params", "scope", "dependsOn")
HERE = "[subscription().subscriptionId]"


def document(program: Program, target: Resource | Module) -> dict[str, Json]:
    """One entry of the template's resources. Raises InvalidFile."""
    translator = Translator(program).inside(Reference(target))
    decorated = decorations(program, target.decorators, allowed=("description", "batchSize"))
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
    """A resource exists if its condition holds, and those of the resources that it is nested in."""
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
            raise translator.program.source.refuse(entry.at, "a resource's own properties cannot be spread")
    entries = tuple(
        entry
        for entry in target.body.entries
        if isinstance(entry, nodes.Property) and entry.key.literal not in OUTSIDE_THE_BODY
    )
    return document | to_object(translator.properties(entries))


def _scope(translator: Translator, target: Resource | Module) -> dict[str, Json]:
    scope = translator.scope(target)
    if scope is None:
        return {}
    values = [to_json(value) for value in scope.values]
    if scope.kind == "resource" and isinstance(target, Resource):
        return {"scope": values[0]}
    if scope.kind == "group" and (isinstance(target, Module) or target.existing):
        subscription = {} if values[0] == HERE else {"subscriptionId": values[0]}
        return {**subscription, "resourceGroup": values[1]}
    if scope.kind == "subscription" and isinstance(target, Resource) and target.existing:
        return {"subscriptionId": values[0] if values else HERE}
    if scope.kind == "tenant" and isinstance(target, Resource) and target.existing:
        return {"scope": "/"}
    raise translator.program.source.refuse(
        target.at, "this can only be deployed into a resource group: it is what Remora provisions"
    )


def _module(translator: Translator, target: Module) -> dict[str, Json]:
    for name, node in target.body.properties.items():
        if name not in PARTS_OF_A_MODULE:
            raise translator.program.source.refuse(node.at, f"a module has no {name!r}")
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
        "properties": properties,
    }


def _arguments(translator: Translator, target: Module) -> dict[str, Json] | None:
    """What the module's parameters are given, checked against what it declares."""
    source = translator.program.source
    given = target.body.properties.get("params")
    if given is not None and not isinstance(given, nodes.Object):
        raise source.refuse(given.at, "params is an object")
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
    """`vault.getSecret(name, version)`, which only the parameter of a module can be."""
    if not isinstance(node, nodes.Invoke) or not isinstance(node.function, nodes.Get):
        return None
    vault = translator.reference(node.function.target)
    if vault is None or node.function.key != nodes.String(node.function.key.at, ("getSecret",)):
        return None
    if not 1 <= len(node.arguments) <= 2:
        raise translator.program.source.refuse(node.at, "getSecret takes a name and perhaps a version")
    translator.mention(vault, weak=True)
    names = [to_json(translator.term(argument)) for argument in node.arguments]
    found: dict[str, Json] = {"keyVault": {"id": to_json(translator.id_of(vault))}, "secretName": names[0]}
    return {"reference": found | ({"secretVersion": names[1]} if len(names) > 1 else {})}
