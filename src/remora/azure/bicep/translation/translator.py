"""Translates Bicep expressions to terms: resolves names, replaces operators by functions, records references.

A resource depends on the references in its expressions. A translator belongs to one place in a file: it knows
the variables of the loops and lambdas around it, and the resource whose nested resources are visible there.
Writes no JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.composing import Composing
from remora.azure.bicep.translation.functions import (
    LAMBDAS,
    SAME,
    SCOPES,
    function_reference,
    is_list,
)
from remora.azure.bicep.translation.loading import LOADERS, load
from remora.azure.bicep.translation.naming import DEPLOYMENTS_VERSION, SCOPE_ARGUMENTS, is_runtime
from remora.azure.bicep.translation.referring import KNOWN_BEFORE, names_a_scope
from remora.azure.bicep.translation.symbols import Mention, Module, Program, Reference, Resource
from remora.azure.bicep.translation.terms import (
    Call,
    Copy,
    Items,
    Literal,
    Properties,
    Term,
    access,
    call,
    calls,
)

SAFE_CALLS = ("tryGet", "tryIndexFromEnd")


@dataclass(frozen=True, slots=True)
class Translator(Composing):
    """Translates the expressions of one place. `mentions` collects their references."""

    program: Program
    locals: Mapping[str, Term] = field(default_factory=dict)
    home: Resource | None = None
    mentions: list[Mention] = field(default_factory=list)

    def term(self, node: nodes.Expression) -> Term:
        """The term of an expression. Raises InvalidFile."""
        translate = TRANSLATIONS.get(type(node))
        if translate is None:
            what = {nodes.For: "a loop", nodes.If: "a condition", nodes.Lambda: "a lambda"}[type(node)]
            raise self.program.source.refuse(node.at, f"{what} is not supported here")
        return translate(self, node)

    def value(self, node: nodes.Expression) -> Term:
        """As `term`, for expressions that can contain loops: the properties of resources and modules."""
        if isinstance(node, nodes.Object) and not any(
            isinstance(entry, nodes.Spread) for entry in node.entries
        ):
            return self.properties(node.entries)
        if isinstance(node, nodes.Array) and not any(isinstance(item, nodes.Spread) for item in node.items):
            return Items(tuple(self.value(item) for item in node.items if not isinstance(item, nodes.Spread)))
        return self.term(node)

    def properties(self, entries: Sequence[nodes.Property | nodes.Spread | nodes.Resource]) -> Properties:
        """An object's entries, without spreads."""
        return Properties(tuple(self._pair(entry) for entry in entries))

    def loop(self, node: nodes.For, name: str | None) -> Copy:
        """A loop that produces an array; `copyIndex` uses `name` to distinguish it from other loops."""
        position = call("copyIndex", name) if name is not None else call("copyIndex")
        if name is not None and any(position in calls(known) for known in self.locals.values()):
            raise self.program.source.refuse(node.at, f"a loop in a loop that is also named {name!r}")
        source = self.term(node.source)
        return Copy(source, self.with_loop(node, source, position).value(node.body))

    def with_loop(self, node: nodes.For, source: Term, position: Term) -> Translator:
        """This translator, in the body of a loop."""
        names = {node.item: access(source, position)}
        if node.index is not None:
            names[node.index] = position
        return replace(self, locals={**self.locals, **names})

    def inside(self, reference: Reference) -> Translator:
        target = reference.target
        outer = Translator(self.program, home=target.outer)
        within = replace(outer, home=target if isinstance(target, Resource) else None)
        if target.loop is None:
            return within
        source = outer.term(target.loop.source)
        return within.with_loop(target.loop, source, reference.index or call("copyIndex"))

    def fresh(self) -> Translator:
        return Translator(self.program)

    def _pair(self, entry: nodes.Property | nodes.Spread | nodes.Resource) -> tuple[Term, Term | Copy]:
        if not isinstance(entry, nodes.Property):
            raise self.program.source.refuse(entry.at, "this is not allowed here")
        if not isinstance(entry.value, nodes.For):
            return self.term(entry.key), self.value(entry.value)
        if entry.key.literal is None:
            raise self.program.source.refuse(entry.at, "a loop needs a plain name")
        return Literal(entry.key.literal), self.loop(entry.value, entry.key.literal)

    def _name(self, node: nodes.Name) -> Term:
        if node.text in self.locals:
            return self.locals[node.text]
        reference = self.reference(node)
        if reference is not None:
            return self._whole(node, reference)
        if node.text in self.program.parameters:
            return call("parameters", node.text)
        imported = self.program.found("variable", node.text)
        if imported is not None:
            return call("variables", imported)
        if node.text not in self.program.variables:
            raise self.program.source.refuse(node.at, f"{node.text!r} is not declared")
        resolved = self.resolve(node.text, node.at)
        self.mentions.extend(resolved.mentions)
        if not is_runtime(resolved.value):
            return call("variables", node.text)
        if isinstance(resolved.value, Copy):
            raise self.program.source.refuse(
                node.at, f"{node.text!r} loops over values that exist only after deployment"
            )
        return resolved.value  # inlined, because ARM's variables cannot read resources

    def _whole(self, node: nodes.Expression, reference: Reference) -> Term:
        if isinstance(reference.target, Module):
            raise self.program.source.refuse(node.at, f"use .outputs or .name of {reference.target.symbol!r}")
        self._one(node, reference)
        self.mention(reference, weak=False)
        return self.read(reference, full=True)

    def _inner(self, node: nodes.Inner) -> Term:
        reference = self.reference(node)
        if reference is None:
            raise self.program.source.refuse(node.at, f"{node.name!r} is not nested there")
        return self._whole(node, reference)

    def _one(self, node: nodes.Expression, reference: Reference) -> None:
        if reference.target.loop is not None and reference.index is None:
            symbol = reference.target.symbol
            raise self.program.source.refuse(
                node.at, f"{symbol!r} is a loop: select one item with {symbol}[…]"
            )

    def _get(self, node: nodes.Get) -> Term:
        reference = self.reference(node)
        if reference is not None:
            return self._whole(node, reference)
        key = node.key.literal if isinstance(node.key, nodes.String) else None
        target = self.reference(node.target)
        if target is not None and key is not None:
            self._one(node, target)
            self.mention(target, weak=key in KNOWN_BEFORE)
            return self._of_resource(node, target, key)
        space = self._space(node.target)
        if space is not None and key is not None and not node.safe:
            return call("variables", self._imported(node, "variable", space, key))
        self._require_a_value(node)
        output = self._output(node, key) if key is not None else None
        return output or self._accessed(node, self.term(node.target), self.term(node.key))

    def _require_a_value(self, node: nodes.Get) -> None:
        """Refuse a part of a scope with arguments, also of one in a variable."""
        root = self.bare(node.target)
        while isinstance(root, nodes.Get):
            root = self.bare(root.target)
        if (
            isinstance(root, nodes.Name)
            and root.text in self.program.variables
            and root.text not in self.locals
        ):
            root = self.program.variables[root.text].value
        if names_a_scope(root):
            raise self.program.source.refuse(node.at, "a scope with arguments has no properties")

    def _space(self, node: nodes.Expression) -> str | None:
        """The name of a whole file that is imported."""
        if not isinstance(node, nodes.Name) or node.text in self.locals:
            return None
        return node.text if node.text in self.program.spaces else None

    def _imported(self, node: nodes.Get, kind: str, space: str, name: str) -> str:
        found = self.program.found(kind, name, space)
        if found is None:
            raise self.program.source.refuse(node.key.at, f"{space!r} has no {kind} {name!r}")
        return found

    def _of_resource(self, node: nodes.Get, reference: Reference, key: str) -> Term:
        """A property of a resource or module: known at compile time, else read from the deployed one."""
        target = reference.target
        if isinstance(target, Module):
            return self._of_module(node, reference, key)
        if key in ("type", "apiVersion"):
            return Literal(target.type if key == "type" else target.api_version)
        if key in KNOWN_BEFORE:
            known = self.id_of(reference) if key == "id" else self.name_of(reference)
            return self._if_deployed(node, reference, known)
        if node.safe:
            return call("tryGet", self._if_deployed(node, reference, self.read(reference, full=True)), key)
        if key == "properties":
            return self.read(reference, full=False)
        return access(self.read(reference, full=True), key)

    def _of_module(self, node: nodes.Get, reference: Reference, key: str) -> Term:
        if key == "name":
            return self._if_deployed(node, reference, self.name_of(reference))
        if key != "outputs":
            raise self.program.source.refuse(node.at, f"a module has no {key!r}: use .outputs or .name")
        if isinstance(reference.target, Module) and reference.target.secrets:
            return self._secrets(node, reference)
        return self._outputs(node, reference)

    def _secrets(self, node: nodes.Get, reference: Reference) -> Term:
        """The outputs of a module with their secrets, which `reference` does not read."""
        read = call("listOutputsWithSecureValues", self.handle(reference), DEPLOYMENTS_VERSION)
        return self._if_deployed(node, reference, read)

    def _outputs(self, node: nodes.Get, reference: Reference) -> Term:
        read = self.read(reference, full=False)
        if node.safe:
            return call("tryGet", self._if_deployed(node, reference, read), "outputs")
        return access(read, "outputs")

    def _if_deployed(self, node: nodes.Get, reference: Reference, known: Term) -> Term:
        """With `.?`, null if the resource's own condition is false."""
        condition = reference.target.condition
        if not node.safe or condition is None:
            return known
        return call("if", self.inside(reference).term(condition), known, call("null"))

    def _output(self, node: nodes.Get, key: str) -> Term | None:
        """`module.outputs.key`, which a deployment stores as an object with a value."""
        outputs = node.target
        if not isinstance(outputs, nodes.Get) or not isinstance(outputs.key, nodes.String):
            return None
        module = self.reference(outputs.target)
        if module is None or not isinstance(module.target, Module) or outputs.key.literal != "outputs":
            return None
        declared = module.target.template.get("outputs", {})
        document = declared.get(key) if isinstance(declared, dict) else None
        if not isinstance(document, dict):
            raise self.program.source.refuse(node.key.at, f"{module.target.symbol!r} has no output {key!r}")
        self._one(outputs, module)
        self.mention(module, weak=False)
        if key in module.target.secrets:
            base = self._secrets(outputs, module)
            guarded = isinstance(base, Call) and base.name == "if"
            return call("tryGet", base, key) if node.safe or guarded else access(base, key)
        base = self._outputs(outputs, module)
        if node.safe:
            return call("tryGet", call("tryGet", base, key), "value")
        if isinstance(base, Call) and base.name in SAFE_CALLS:
            return call(base.name, *base.arguments, key, "value")
        return access(base, key, "value")

    def _accessed(self, node: nodes.Get, base: Term, key: Term) -> Term:
        if node.safe:
            return call("tryIndexFromEnd" if node.from_end else "tryGet", base, key)
        if _is_access(node.target) and isinstance(base, Call) and base.name in SAFE_CALLS:
            # After a `?`, the rest of the chain is null too.
            counted = call("createObject", "value", key, "fromEnd", Literal(True)) if node.from_end else key
            return call(base.name, *base.arguments, counted)
        return call("indexFromEnd", base, key) if node.from_end else access(base, key)

    def _invoke(self, node: nodes.Invoke) -> Term:
        function = node.function
        if isinstance(function, nodes.Name):
            return self._function(node, function.text)
        if isinstance(function, nodes.Get) and isinstance(function.key, nodes.String) and not function.safe:
            name, reference = function.key.literal or "", self.reference(function.target)
            if reference is not None and isinstance(reference.target, Resource) and is_list(name):
                self._one(node, reference)
                self.mention(reference, weak=True)
                given = [self.term(argument) for argument in node.arguments]
                return call(name, self.handle(reference), *(given or [Literal(reference.target.api_version)]))
            space = self._space(function.target)
            if space is not None:
                found = function_reference(self._imported(function, "function", space, name))
                return Call(found, tuple(self.term(argument) for argument in node.arguments))
            if isinstance(function.target, nodes.Name) and function.target.text in ("sys", "az"):
                return self._function(node, name)
            raise self.program.source.refuse(function.key.at, f"the function {name!r} is not supported here")
        raise self.program.source.refuse(node.at, "this is not a function")

    def _function(self, node: nodes.Invoke, name: str) -> Term:
        special = self._declared_function(node, name) or self._at_compile_time(node, name)
        if special is not None:
            return special
        if name not in SAME and not is_list(name):
            raise self.program.source.refuse(node.function.at, f"the function {name!r} is not supported")
        if name in SCOPES and node.arguments:
            if len(node.arguments) > SCOPE_ARGUMENTS[name]:
                raise self.program.source.refuse(node.at, f"{name}() has too many arguments")
            return Properties(())  # as in the CLI: only `scope:` uses what it stands for
        if self.program.target not in SCOPES.get(name, (self.program.target,)):
            raise self.program.source.refuse(
                node.at, f"{name}() is not known in a file for a {self.program.target}"
            )
        return Call(name, tuple(self._argument(argument, name) for argument in node.arguments))

    def _declared_function(self, node: nodes.Invoke, name: str) -> Term | None:
        """The call of a function of this file or an imported one."""
        if not isinstance(node.function, nodes.Name):
            return None
        found = name if name in self.program.functions else self.program.found("function", name)
        if found is None:
            return None
        return Call(function_reference(found), tuple(self.term(argument) for argument in node.arguments))

    def _at_compile_time(self, node: nodes.Invoke, name: str) -> Term | None:
        """The value of a function that a template does not have."""
        if name == "any" and len(node.arguments) == 1:
            return self.term(node.arguments[0])
        if name == "nameof" and len(node.arguments) == 1:
            self.mention_all(node.arguments[0])  # as in the CLI, although only the name is written
            return Literal(self._last_name(node.arguments[0]))
        if name in LOADERS:
            return load(self.program, node, name, [self.term(argument) for argument in node.arguments])
        return None

    def _argument(self, node: nodes.Expression, function: str) -> Term:
        if isinstance(node, nodes.Group):
            return self._argument(node.value, function)
        if not isinstance(node, nodes.Lambda) or function not in LAMBDAS:
            return self.term(node)
        names = {name: call("lambdaVariables", name) for name in node.parameters}
        body = replace(self, locals={**self.locals, **names}).term(node.body)
        return call("lambda", *node.parameters, body)

    def _last_name(self, node: nodes.Expression) -> str:
        if isinstance(node, nodes.Name):
            return node.text
        if isinstance(node, nodes.Inner):
            return node.name
        if (
            isinstance(node, nodes.Get)
            and isinstance(node.key, nodes.String)
            and node.key.literal is not None
        ):
            return node.key.literal
        raise self.program.source.refuse(node.at, "nameof needs an expression with a name")


def _is_access(node: nodes.Expression) -> bool:
    """Whether an expression selects a part of another, possibly behind what only its type is for."""
    if isinstance(node, nodes.NotNull):
        return _is_access(node.value)
    if isinstance(node, nodes.Invoke) and node.named("sys") == "any" and len(node.arguments) == 1:
        return _is_access(node.arguments[0])
    return isinstance(node, nodes.Get)


TRANSLATIONS: Mapping[type, Callable[[Translator, Any], Term]] = {
    nodes.Name: Translator._name,
    nodes.Constant: lambda _, node: Literal(node.value),
    nodes.String: Translator.string_of,
    nodes.Object: Translator.object_of,
    nodes.Array: Translator.array_of,
    nodes.Get: Translator._get,
    nodes.Inner: Translator._inner,
    nodes.Invoke: Translator._invoke,
    nodes.Operation: Translator.operation_of,
    nodes.Group: lambda translator, node: translator.term(node.value),
    nodes.NotNull: lambda translator, node: translator.term(node.value),
}
