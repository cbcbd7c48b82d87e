"""The dependencies of a resource or module: its references, its parent and its own `dependsOn`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.translation.symbols import Mention, Module, Reference, Resource
from remora.azure.bicep.translation.terms import Json, calls, to_json
from remora.azure.bicep.translation.translator import Translator


def mention_declared(translator: Translator, target: Resource | Module) -> None:
    """Record the references of the declaration itself: parent, scope and `dependsOn`."""
    parent = translator.parent(target)
    if parent is not None:
        translator.mention(parent, weak=True)
    scope = target.body.properties.get("scope")
    scoped_to = translator.reference(scope) if scope is not None else None
    if scoped_to is not None:
        translator.mention(scoped_to, weak=True)
    explicit = target.body.properties.get("dependsOn")
    if explicit is None:
        return
    for item in explicit.items if isinstance(explicit, nodes.Array) else (explicit,):
        before = len(translator.mentions)
        translator.mention_all(item.value if isinstance(item, nodes.Spread) else item)
        if len(translator.mentions) == before:
            raise translator.program.source.refuse(item.at, "this is not a resource or module of this file")


def depends_on(translator: Translator, target: Resource | Module) -> list[Json]:
    """The `dependsOn` of a target, in the alphabetical order of symbols, from all recorded references."""
    waits: dict[str, list[Mention]] = {}
    for mention in translator.mentions:
        for behind in _deployed_by(translator, mention, ()):
            if behind.reference.target is target:
                raise translator.program.source.refuse(target.at, f"{target.symbol!r} refers to itself")
            waits.setdefault(behind.reference.target.symbol, []).append(behind)
    translator.program.waits[target.symbol] = set(waits)
    found: list[Json] = []
    for symbol in sorted(waits, key=lambda symbol: (symbol.lower(), symbol)):
        mentions = waits[symbol]
        whole = next((mention for mention in mentions if mention.reference.index is None), None)
        # As the CLI does, one for each place where an item is selected, even if two write the same.
        places = {(mention.reference.at, mention.weak): mention for mention in reversed(mentions)}
        chosen = [whole] if whole is not None else reversed(places.values())
        found += [_entry(translator, mention.reference) for mention in chosen]
    return found


def first_circle(waits: Mapping[str, Iterable[str]]) -> str | None:
    """A symbol that depends on itself through others; None if there is none."""
    done: set[str] = set()

    def is_in_circle(symbol: str, path: tuple[str, ...]) -> bool:
        if symbol in path:
            return True
        if symbol in done:
            return False
        found = any(is_in_circle(other, (*path, symbol)) for other in waits.get(symbol, ()))
        done.add(symbol)
        return found

    return next((symbol for symbol in waits if is_in_circle(symbol, ())), None)


def _deployed_by(translator: Translator, mention: Mention, path: Sequence[Resource]) -> Iterator[Mention]:
    """What to wait for: for an existing resource, the references in its name."""
    reference = mention.reference
    target = reference.target
    if not isinstance(target, Resource) or not target.existing:
        yield mention
        return
    if translator.is_named(target) and not mention.weak:
        yield mention
        return
    if target in path:
        raise translator.program.source.refuse(target.at, f"{target.symbol!r} refers to itself")
    inner = translator.inside(reference)
    inner.names(target)
    mention_declared(inner, target)
    for behind in inner.mentions:
        index = behind.reference.index
        counts = index is not None and any(found.name == "copyIndex" for found in calls(index))
        whole = Mention(Reference(behind.reference.target), behind.weak)
        yield from _deployed_by(
            translator, whole if counts and _is_all(reference) else behind, (*path, target)
        )


def _is_all(reference: Reference) -> bool:
    return reference.target.loop is not None and reference.index is None


def _entry(translator: Translator, reference: Reference) -> str:
    # A whole loop is referred to by its symbol, in either kind of template.
    entry = reference.target.symbol if _is_all(reference) else to_json(translator.handle(reference))
    return str(entry)
