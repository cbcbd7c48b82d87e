"""Parses resource ids in URLs and templates. Keeps letter case and never compares it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from containerapps_emulator.arm.resources.built_in import RESOURCE_GROUP
from containerapps_emulator.arm.resources.resource import ResourceId


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """The part of a URL after `…/providers/`: a resource, or an optional resource and one more segment.

    `tail` is the last segment of a path with an odd number of them: a collection's type on GET, an action on
    POST.
    """

    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]
    tail: str | None

    @property
    def type(self) -> str:
        """The full type of the resource, without the tail."""
        return "/".join((self.namespace, *self.types))


def parse_resource_path(path: str) -> ResourcePath | None:
    """`Namespace/type/name[/type/name…][/tail]`; None for a lone namespace.

    Double slashes count as one: Microsoft's generic client writes them if there is no parent.
    """
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) < 2:
        return None
    namespace, *rest = segments
    tail = rest.pop() if len(rest) % 2 else None
    return ResourcePath(namespace, tuple(rest[::2]), tuple(rest[1::2]), tail)


def parse_resource_id(text: str) -> ResourceId | None:
    """A full resource id: in a resource group, in the subscription, or the id of a group itself.

    Of a resource that extends another one, that one's id comes first.
    """
    extended, _, own = text.rpartition("/providers/")
    if "/providers/" in extended:
        return _extension(parse_resource_id(extended), parse_resource_path(own))
    segments = text.split("/")
    if len(segments) < 5 or segments[0] or not all(segments[1:]) or segments[1].lower() != "subscriptions":
        return None
    subscription, rest = segments[2], segments[3:]
    group = ""
    if rest[0].lower() == "resourcegroups":
        group, rest = rest[1], rest[2:]
        if not rest:
            return ResourceId(subscription, "", RESOURCE_GROUP, (group,))
    if rest[0].lower() != "providers":
        return None
    path = parse_resource_path("/".join(rest[1:]))
    if path is None or path.tail is not None:
        return None
    return ResourceId(subscription, group, path.type, path.names)


def _extension(owner: ResourceId | None, path: ResourcePath | None) -> ResourceId | None:
    """The id of what extends a resource, such as a role assignment."""
    if owner is None or path is None or path.tail is not None:
        return None
    return replace(owner, type=path.type, names=path.names, extends=str(owner))


def resource_id(subscription: str, group: str, full_type: str, name: str) -> ResourceId | None:
    """The id for a template's type and slash-joined name; None if their segment counts differ."""
    names = tuple(name.split("/"))
    if full_type.count("/") != len(names) or not all(names):
        return None
    return ResourceId(subscription, group, full_type, names)
