"""How an expression refers to resources, modules and variables. Translates no expression itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.functions import SCOPES
from remora.azure.bicep.translation.naming import Naming, is_runtime
from remora.azure.bicep.translation.symbols import Mention, Module, Program, Reference, Resolved, Resource
from remora.azure.bicep.translation.terms import Call, Copy, Term, calls

KNOWN_BEFORE = ("id", "name", "type", "apiVersion")


class Referring(Naming):
    """The part of a translator that finds and records references."""

    program: Program
    locals: Mapping[str, Term]
    home: Resource | None
    mentions: list[Mention]

    @abstractmethod
    def loop(self, node: nodes.For, name: str | None) -> Copy: ...

    @abstractmethod
    def fresh(self) -> Referring:
        """A translator for a declaration of the file, outside of its resources."""

    def reference(self, node: nodes.Expression) -> Reference | None:
        """The resource or module that an expression names, or None."""
        if isinstance(node, nodes.NotNull | nodes.Group):
            return self.reference(node.value)
        if isinstance(node, nodes.Name):
            target = self.find(node.text)
            return Reference(target) if target is not None else None
        if isinstance(node, nodes.Inner):
            outer = self.reference(node.target)
            nested = outer.target.nested if outer and isinstance(outer.target, Resource) else {}
            if node.name not in nested:
                raise self.program.source.refuse(node.at, f"{node.name!r} is not nested there")
            return Reference(nested[node.name])
        if isinstance(node, nodes.Get) and not (node.safe or node.from_end):
            found = self.reference(node.target)
            literal = isinstance(node.key, nodes.String) and node.key.literal is not None
            if found is not None and found.target.loop is not None and found.index is None and not literal:
                return Reference(found.target, self.term(node.key), node.at)
        return None

    def mention(self, reference: Reference, *, weak: bool) -> None:
        """Record a reference, without an index that is only valid inside the resource."""
        index = reference.index
        if index is not None and any(_is_local(found) for found in calls(index)):
            reference = Reference(reference.target)
        self.mentions.append(Mention(reference, weak))

    def bare(self, node: nodes.Expression) -> nodes.Expression:
        """An expression without what the template does not show: parentheses, `!`, `any`, variables."""
        if isinstance(node, nodes.NotNull | nodes.Group):
            return self.bare(node.value)
        if isinstance(node, nodes.Invoke) and len(node.arguments) == 1:
            return self.bare(node.arguments[0]) if node.named("sys") == "any" else node
        if not isinstance(node, nodes.Name) or node.text in self.locals or self.find(node.text) is not None:
            return node
        variable = self.program.variables.get(node.text)
        if variable is None or not is_runtime(self.resolve(node.text, node.at).value):
            return node
        return self.bare(variable.value)

    def resolve(self, name: str, at: int) -> Resolved:
        """A variable's value."""
        program = self.program
        if name in program.resolved:
            return program.resolved[name]
        if name in program.resolving:
            raise program.source.refuse(at, f"the variable {name!r} refers to itself")
        program.resolving.append(name)
        node, own = program.variables[name].value, self.fresh()
        value = own.loop(node, name) if isinstance(node, nodes.For) else own.term(node)
        program.resolving.pop()
        program.resolved[name] = Resolved(value, tuple(own.mentions))
        return program.resolved[name]

    def mention_all(self, node: nodes.Expression) -> None:
        """Record the references in an expression that is itself not written."""
        found = self.reference(node)
        if found is not None:
            self.mention(found, weak=False)
            return
        if isinstance(node, nodes.Name):
            if node.text in self.program.variables and node.text not in self.locals:
                self.mentions.extend(self.resolve(node.text, node.at).mentions)
            return
        owner = self.reference(node.target) if isinstance(node, nodes.Get) else None
        if isinstance(node, nodes.Get) and owner is not None:
            known = isinstance(node.key, nodes.String) and node.key.literal in KNOWN_BEFORE
            self.mention(owner, weak=known)
            return
        for child in _children(node):
            self.mention_all(child)

    def find(self, name: str) -> Resource | Module | None:
        if name in self.locals:
            return None
        home = self.home
        while home is not None:
            if name in home.nested:
                return home.nested[name]
            home = home.outer
        return self.program.deployed.get(name)


def names_a_scope(part: object) -> bool:
    """Whether a scope with arguments is in an expression: a template has no value for it."""
    if isinstance(part, nodes.Invoke) and part.arguments and part.named("az") in SCOPES:
        return True
    return any(names_a_scope(child) for child in _parts(part))


def _is_local(found: Call) -> bool:
    return found.name == "lambdaVariables" or (found.name == "copyIndex" and bool(found.arguments))


def _children(node: nodes.Expression) -> Iterator[nodes.Expression]:
    """The expressions directly in an expression."""
    for part in _parts(node):
        if isinstance(part, nodes.Spread | nodes.Property):
            yield from (child for child in _parts(part) if isinstance(child, nodes.Expression))
        elif isinstance(part, nodes.Expression):
            yield part


def _parts(node: object) -> Iterator[object]:
    for part in fields(node) if is_dataclass(node) else ():
        value = getattr(node, part.name)
        yield from value if isinstance(value, tuple) else (value,)
