"""Writes a template's `resources`: loops, conditions, names, nested deployments. Collects no declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.decorators import decorations, described
from remora.azure.bicep.translation.dependencies import depends_on, mention_declared
from remora.azure.bicep.translation.libraries import DEFINITIONS
from remora.azure.bicep.translation.naming import (
    DEPLOYMENTS,
    DEPLOYMENTS_VERSION,
    MANAGEMENT_GROUPS,
    is_runtime,
)
from remora.azure.bicep.translation.symbols import Module, Program, Reference, Resource
from remora.azure.bicep.translation.terms import (
    Json,
    Literal,
    Properties,
    Term,
    access,
    call,
    copy_document,
    has_loop,
    to_json,
    to_object,
)
from remora.azure.bicep.translation.translator import Translator

OUTSIDE_THE_BODY = ("name", "parent", "scope", "dependsOn")
PARTS_OF_A_MODULE = ("name", "params", "scope", "dependsOn")
OPTIONS = {"onlyIfNotExists": (0, 0), "retryOn": (1, 2)}  # the numbers of their arguments
HERE = "[subscription().subscriptionId]"


def document(program: Program, target: Resource | Module) -> dict[str, Json]:
    """One entry of the template's resources. Raises InvalidFile."""
    translator = Translator(program).inside(Reference(target))
    marks = [mark for mark in target.decorators if mark.name not in OPTIONS or isinstance(target, Module)]
    decorated = decorations(program, marks, allowed=("description", "batchSize"))
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
    document |= _options(translator, target)
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


def _options(translator: Translator, target: Resource) -> dict[str, Json]:
    """The decorators that the deployment obeys, with their arguments."""
    options: dict[str, Json] = {}
    for mark in target.decorators:
        if mark.name not in OPTIONS:
            continue
        least, most = OPTIONS[mark.name]
        if mark.name in options or target.existing or not least <= len(mark.arguments) <= most:
            raise translator.program.source.refuse(
                mark.at, f"@{mark.name}() is not allowed here, or not like this"
            )
        options[mark.name] = [to_json(translator.fresh().term(argument)) for argument in mark.arguments]
    return {"@options": options} if options else {}


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
    subscription = {} if scope.in_this_subscription else {"subscriptionId": values[0]}
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
    required = (name for name, parameter in known.items() if _is_required(parameter, target.template))
    missing = [name for name in required if name not in values]
    if missing:
        raise source.refuse((given or target).at, f"the module needs the parameter {missing[0]!r}")
    return {name: _argument(translator, node) for name, node in values.items()} if given is not None else None


def _is_required(parameter: Json, template: Mapping[str, Json]) -> bool:
    """Whether a parameter of a module has no default and its type, or what that refers to, has no null."""
    definitions = template.get("definitions")
    seen: set[str] = set()
    if not isinstance(parameter, dict) or "defaultValue" in parameter:
        return False
    while isinstance(parameter, dict) and "nullable" not in parameter and "$ref" in parameter:
        name = str(parameter["$ref"]).removeprefix(DEFINITIONS)
        if name in seen:
            break
        seen.add(name)
        parameter = definitions.get(name) if isinstance(definitions, dict) else None
    return not (isinstance(parameter, dict) and parameter.get("nullable"))


def _argument(translator: Translator, node: nodes.Expression) -> Json:
    """The value of a module's parameter, as the object that a deployment takes."""
    if isinstance(node, nodes.For):
        loop = translator.loop(node, "value")
        if has_loop(loop.body):
            raise translator.program.source.refuse(node.body.at, "a loop in a loop is not supported here")
        return {"copy": [copy_document(loop, "value", as_text=True)]}
    return to_json(_wrapped(translator, node, translator.value))


def _wrapped(
    translator: Translator, node: nodes.Expression, translate: Callable[[nodes.Expression], Term]
) -> Term:
    """A value or secret as an object. Either side of a condition becomes such an object, as in the CLI."""
    bare = translator.bare(node)
    if isinstance(bare, nodes.Operation) and bare.operator == "?":
        condition, *sides = bare.operands
        return call(
            "if", translator.term(condition), *(_wrapped(translator, side, translator.term) for side in sides)
        )
    secret = _secret(translator, bare)
    key, value = ("value", translate(node)) if secret is None else ("reference", secret)
    return Properties(((Literal(key), value),))


def _secret(translator: Translator, node: nodes.Expression) -> Term | None:
    """`vault.getSecret(name, version)`, which is allowed only as a parameter of a module."""
    if not isinstance(node, nodes.Invoke) or not isinstance(node.function, nodes.Get):
        return None
    vault = translator.reference(node.function.target)
    if vault is None or node.function.key != nodes.String(node.function.key.at, ("getSecret",)):
        return None
    if not 1 <= len(node.arguments) <= 2:
        raise translator.program.source.refuse(node.at, "getSecret takes a name and optionally a version")
    translator.mention(vault, weak=True)
    identity = Properties(((Literal("id"), translator.id_of(vault)),))
    keys = ("keyVault", "secretName", "secretVersion")
    values = (identity, *(translator.term(argument) for argument in node.arguments))
    return Properties(tuple((Literal(key), value) for key, value in zip(keys, values, strict=False)))
