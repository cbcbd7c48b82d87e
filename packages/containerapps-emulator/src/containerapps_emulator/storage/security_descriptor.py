"""Security descriptors of Windows: their text (SDDL) and their binary form, each made from the other.

Knows the entries that files have; refuses others (of objects, with conditions). The layout is that of
[MS-DTYP].
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SID: Final = r"S-1-\d+(?:-\d+)*|[A-Z]{2}"
_ACL: Final = r"(?P<{0}flags>(?:P|AR|AI)*)(?:NO_ACCESS_CONTROL|(?P<{0}list>(?:\([^()]*\))*))"
_TEXT: Final = re.compile(
    rf"O:(?P<owner>{_SID})G:(?P<group>{_SID})D:{_ACL.format('d')}(?P<sacl>S:{_ACL.format('s')})?\Z"
)
_HEAD: Final = struct.Struct("<BxHIIII")
"""Revision, control, then the places of owner, group, SACL and DACL."""
_ACL_HEAD: Final = struct.Struct("<BxHHxx")
_ACE_HEAD: Final = struct.Struct("<BBHI")
_SELF_RELATIVE: Final = 0x8000
_DACL_FLAGS: Final = {"P": 0x1000, "AR": 0x0100, "AI": 0x0400}
_SACL_FLAGS: Final = {"P": 0x2000, "AR": 0x0200, "AI": 0x0800}
_DACL_PRESENT, _SACL_PRESENT = 0x0004, 0x0010
_TYPES: Final = {"A": 0, "D": 1, "AU": 2, "AL": 3, "ML": 17}
_ACE_FLAGS: Final = {"OI": 1, "CI": 2, "NP": 4, "IO": 8, "ID": 16, "SA": 64, "FA": 128}
_RIGHTS: Final = {
    "FA": 0x1F01FF,
    "FR": 0x120089,
    "FW": 0x120116,
    "FX": 0x1200A0,
    "GA": 0x10000000,
    "GR": 0x80000000,
    "GW": 0x40000000,
    "GX": 0x20000000,
    "RC": 0x20000,
    "SD": 0x10000,
    "WD": 0x40000,
    "WO": 0x80000,
}
_SIDS: Final = {
    "WD": "S-1-1-0",
    "CO": "S-1-3-0",
    "CG": "S-1-3-1",
    "OW": "S-1-3-4",
    "NU": "S-1-5-2",
    "IU": "S-1-5-4",
    "SU": "S-1-5-6",
    "AN": "S-1-5-7",
    "PS": "S-1-5-10",
    "AU": "S-1-5-11",
    "SY": "S-1-5-18",
    "LS": "S-1-5-19",
    "NS": "S-1-5-20",
    "BA": "S-1-5-32-544",
    "BU": "S-1-5-32-545",
    "BG": "S-1-5-32-546",
    "PU": "S-1-5-32-547",
    "BO": "S-1-5-32-551",
    "LW": "S-1-16-4096",
    "ME": "S-1-16-8192",
    "HI": "S-1-16-12288",
    "SI": "S-1-16-16384",
}


@dataclass(frozen=True, slots=True)
class Ace:
    """One entry: whom (a SID in full) it allows, denies or audits what."""

    kind: int
    flags: int
    rights: int
    sid: str


Acl = tuple[Ace, ...] | None
"""None denies nothing: NO_ACCESS_CONTROL."""


@dataclass(frozen=True, slots=True)
class SecurityDescriptor:
    """`control` holds the flags of both lists and says whether there is a SACL."""

    owner: str
    group: str
    control: int
    dacl: Acl
    sacl: Acl = None


def from_text(text: str) -> SecurityDescriptor:
    """Raises ValueError, with what is wrong."""
    match = _TEXT.match(text)
    if match is None:
        raise ValueError("It needs O:owner G:group D:entries, in SDDL.")
    control = _SELF_RELATIVE | _DACL_PRESENT | _bits(match["dflags"], _DACL_FLAGS)
    if match["sacl"] is not None:
        control |= _SACL_PRESENT | _bits(match["sflags"], _SACL_FLAGS)
    owner, group = _sid(match["owner"]), _sid(match["group"])
    return SecurityDescriptor(owner, group, control, _acl(match["dlist"]), _acl(match["slist"]))


def to_text(descriptor: SecurityDescriptor) -> str:
    control, dacl, sacl = descriptor.control, descriptor.dacl, descriptor.sacl
    text = (
        f"O:{_short(descriptor.owner)}G:{_short(descriptor.group)}D:{_acl_text(dacl, control, _DACL_FLAGS)}"
    )
    return f"{text}S:{_acl_text(sacl, control, _SACL_FLAGS)}" if control & _SACL_PRESENT else text


def from_binary(text: str) -> SecurityDescriptor:
    """From base64. Raises ValueError, with what is wrong."""
    try:
        data = base64.b64decode(text, validate=True)
        revision, control, owner, group, sacl, dacl = _HEAD.unpack_from(data)
        if revision != 1 or not control & _SELF_RELATIVE or not control & _DACL_PRESENT:
            raise ValueError("It is no self-relative security descriptor with a DACL.")
        lists = [_read_acl(data, place) if place else None for place in (dacl, sacl)]
        return SecurityDescriptor(_read_sid(data, owner), _read_sid(data, group), control, *lists)
    except (struct.error, IndexError):
        raise ValueError("Its binary form ends early.") from None


def to_binary(descriptor: SecurityDescriptor) -> str:
    """In base64."""
    parts, places, place = [], [], _HEAD.size
    for part in (
        b"" if descriptor.sacl is None else _acl_binary(descriptor.sacl),
        b"" if descriptor.dacl is None else _acl_binary(descriptor.dacl),
        _sid_binary(descriptor.owner),
        _sid_binary(descriptor.group),
    ):
        parts.append(part)
        places.append(place if part else 0)
        place += len(part)
    sacl, dacl, owner, group = places
    head = _HEAD.pack(1, descriptor.control, owner, group, sacl, dacl)
    return base64.b64encode(head + b"".join(parts)).decode()


def _acl(text: str | None) -> Acl:
    return None if text is None else tuple(_ace(item) for item in text.strip("()").split(")(") if item)


def _ace(text: str) -> Ace:
    fields = text.split(";")
    if len(fields) != 6 or fields[3] or fields[4] or fields[0] not in _TYPES:
        raise ValueError(f"The entry ({text}) is not supported.")
    return Ace(_TYPES[fields[0]], _bits(fields[1], _ACE_FLAGS), _rights(fields[2]), _sid(fields[5]))


def _rights(text: str) -> int:
    if not text[:1].isdigit():
        return _bits(text, _RIGHTS)
    rights = int(text, 16 if text.lower().startswith("0x") else 10)
    if rights >= 1 << 32:
        raise ValueError(f"The rights {text} have more than 32 bits.")
    return rights


def _bits(text: str, names: Mapping[str, int]) -> int:
    bits, rest = 0, text
    while rest:
        name = next((name for name in names if rest.startswith(name)), None)
        if name is None:
            raise ValueError(f"'{text}' is not one of {', '.join(names)}.")
        bits, rest = bits | names[name], rest[len(name) :]
    return bits


def _sid(text: str) -> str:
    if text not in _SIDS and not text.startswith("S-1-"):
        raise ValueError(f"'{text}' is no SID.")
    sid = _SIDS.get(text, text)
    _sid_binary(sid)
    return sid


def _short(sid: str) -> str:
    return next((name for name, full in _SIDS.items() if full == sid), sid)


def _names(bits: int, names: Mapping[str, int]) -> str:
    return "".join(name for name, bit in names.items() if bits & bit)


def _acl_text(acl: Acl, control: int, flags: Mapping[str, int]) -> str:
    if acl is None:
        return f"{_names(control, flags)}NO_ACCESS_CONTROL"
    kinds = {value: name for name, value in _TYPES.items()}
    whole = {value: name for name, value in _RIGHTS.items()}
    return _names(control, flags) + "".join(
        f"({kinds[ace.kind]};{_names(ace.flags, _ACE_FLAGS)};"
        f"{whole.get(ace.rights, hex(ace.rights))};;;{_short(ace.sid)})"
        for ace in acl
    )


def _acl_binary(acl: tuple[Ace, ...]) -> bytes:
    entries = b""
    for ace in acl:
        sid = _sid_binary(ace.sid)
        entries += _ACE_HEAD.pack(ace.kind, ace.flags, _ACE_HEAD.size + len(sid), ace.rights) + sid
    return _ACL_HEAD.pack(2, _ACL_HEAD.size + len(entries), len(acl)) + entries


def _read_acl(data: bytes, place: int) -> tuple[Ace, ...]:
    _, _, count = _ACL_HEAD.unpack_from(data, place)
    place, entries = place + _ACL_HEAD.size, []
    for _ in range(count):
        kind, flags, size, rights = _ACE_HEAD.unpack_from(data, place)
        if kind not in _TYPES.values():
            raise ValueError(f"An entry of the type {kind} is not supported.")
        entries.append(Ace(kind, flags, rights, _read_sid(data, place + _ACE_HEAD.size)))
        place += size
    return tuple(entries)


def _sid_binary(sid: str) -> bytes:
    _, _, authority, *parts = sid.split("-")
    try:
        head = bytes([1, len(parts)]) + int(authority).to_bytes(6, "big")
        return head + struct.pack(f"<{len(parts)}I", *map(int, parts))
    except (struct.error, OverflowError):
        raise ValueError(f"'{sid}' is no SID.") from None


def _read_sid(data: bytes, place: int) -> str:
    if data[place] != 1:
        raise ValueError("A SID has another revision than 1.")
    authority = int.from_bytes(data[place + 2 : place + 8], "big")
    parts = struct.unpack_from(f"<{data[place + 1]}I", data, place + 8)
    return "-".join(map(str, ("S-1", authority, *parts)))
