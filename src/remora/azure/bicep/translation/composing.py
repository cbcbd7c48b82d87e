"""Composes terms of others: operators, strings with interpolation, objects and arrays with spreads."""

from __future__ import annotations

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.functions import OPERATORS
from remora.azure.bicep.translation.referring import Referring
from remora.azure.bicep.translation.terms import Copy, Items, Literal, Properties, Term, call


class Composing(Referring):
    """The part of a translator that knows what expressions are made of, but no names."""

    def operation_of(self, node: nodes.Operation) -> Term:
        operands = [self.term(operand) for operand in node.operands]
        if node.operator in ("=~", "!~"):
            operands = [call("toLower", operand) for operand in operands]
        if node.operator in ("!=", "=~", "!~"):
            equal = call("equals", *operands)
            return equal if node.operator == "=~" else call("not", equal)
        if (node.operator, len(operands)) == ("-", 1):
            return call("sub", 0, operands[0])
        return call(OPERATORS[node.operator, len(operands)], *operands)

    def string_of(self, node: nodes.String) -> Term:
        if node.literal is not None:
            return Literal(node.literal)
        pattern, arguments = "", list[Term]()
        for part in node.parts:
            if isinstance(part, str):
                pattern += part.replace("{", "{{").replace("}", "}}")
            else:
                pattern += f"{{{len(arguments)}}}"
                arguments.append(self.term(part))
        return call("format", pattern, *arguments)

    def object_of(self, node: nodes.Object) -> Term:
        """An object; spreads are merged in order with the properties between them."""
        merged: list[Term] = []
        pairs: list[tuple[Term, Term | Copy]] = []
        for entry in node.entries:
            if isinstance(entry, nodes.Resource):
                raise self.program.source.refuse(entry.at, "a resource cannot be nested here")
            if isinstance(entry, nodes.Property):
                pairs.append((self.term(entry.key), self.term(entry.value)))
                continue
            merged += [Properties(tuple(pairs))] if pairs else []
            merged.append(self.term(entry.value))
            pairs = []
        if not merged:
            return Properties(tuple(pairs))
        return call("shallowMerge", Items((*merged, *([Properties(tuple(pairs))] if pairs else []))))

    def array_of(self, node: nodes.Array) -> Term:
        joined: list[Term] = []
        items: list[Term] = []
        for item in node.items:
            if not isinstance(item, nodes.Spread):
                items.append(self.term(item))
                continue
            joined += [Items(tuple(items))] if items else []
            joined.append(self.term(item.value))
            items = []
        if not joined:
            return Items(tuple(items))
        return call("flatten", Items((*joined, *([Items(tuple(items))] if items else []))))
