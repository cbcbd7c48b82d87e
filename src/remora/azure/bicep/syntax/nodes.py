"""The syntax tree of a Bicep file, as data. `at` is an offset in the source, for messages. Parses nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Name:
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Constant:
    """true, false, null or a number."""

    at: int
    value: bool | int | None


@dataclass(frozen=True, slots=True)
class String:
    """Texts, and the expressions interpolated between them."""

    at: int
    parts: tuple[str | Expression, ...]

    @property
    def literal(self) -> str | None:
        """The text of a string without interpolation."""
        texts = [part for part in self.parts if isinstance(part, str)]
        return "".join(texts) if len(texts) == len(self.parts) else None


@dataclass(frozen=True, slots=True)
class Spread:
    """`...value` in an object or array."""

    at: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Property:
    at: int
    key: String
    value: Expression


@dataclass(frozen=True, slots=True)
class Object:
    """`entries` are in the written order; nested resources appear only in the body of a resource."""

    at: int
    entries: tuple[Property | Spread | Resource, ...]

    @property
    def properties(self) -> dict[str, Expression]:
        """The values under plain keys."""
        pairs = [entry for entry in self.entries if isinstance(entry, Property)]
        return {pair.key.literal: pair.value for pair in pairs if pair.key.literal is not None}


@dataclass(frozen=True, slots=True)
class Array:
    at: int
    items: tuple[Expression | Spread, ...]


@dataclass(frozen=True, slots=True)
class Get:
    """`target.key`, `target[key]`; `safe` with `?`, `from_end` with `^`."""

    at: int
    target: Expression
    key: Expression
    safe: bool = False
    from_end: bool = False


@dataclass(frozen=True, slots=True)
class Inner:
    """`target::name`: a resource nested in another."""

    at: int
    target: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Invoke:
    at: int
    function: Expression
    arguments: tuple[Expression, ...]

    def named(self, space: str = "") -> str | None:
        """The name of the function, if it stands alone or in this namespace."""
        function = self.function
        if isinstance(function, Name):
            return function.text
        if not isinstance(function, Get) or not isinstance(function.target, Name) or function.safe:
            return None
        key = function.key.literal if isinstance(function.key, String) else None
        return key if function.target.text == space else None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator and its operands, in order; `?` has three."""

    at: int
    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """An expression in parentheses."""

    at: int
    value: Expression


@dataclass(frozen=True, slots=True)
class NotNull:
    """`value!`"""

    at: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Lambda:
    at: int
    parameters: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class For:
    """`[for item in source: body]`, or with `(item, index)`."""

    at: int
    item: str
    index: str | None
    source: Expression
    body: Expression


@dataclass(frozen=True, slots=True)
class If:
    """`if (condition) body`, of a resource or module."""

    at: int
    condition: Expression
    body: Expression


Expression = (
    Name
    | Constant
    | String
    | Object
    | Array
    | Get
    | Inner
    | Invoke
    | Operation
    | Group
    | NotNull
    | Lambda
    | For
    | If
)


@dataclass(frozen=True, slots=True)
class NamedType:
    at: int
    name: str


@dataclass(frozen=True, slots=True)
class LiteralType:
    at: int
    value: bool | int | str | None


@dataclass(frozen=True, slots=True)
class ArrayType:
    at: int
    item: Type


@dataclass(frozen=True, slots=True)
class TupleType:
    at: int
    items: tuple[TypeMember, ...]


@dataclass(frozen=True, slots=True)
class NullableType:
    at: int
    type: Type


@dataclass(frozen=True, slots=True)
class UnionType:
    at: int
    members: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class TypeMember:
    """A property of an object type (`*` for all others) or an item of a tuple."""

    at: int
    name: str
    type: Type
    decorators: tuple[Decorator, ...]


@dataclass(frozen=True, slots=True)
class ObjectType:
    at: int
    members: tuple[TypeMember, ...]


@dataclass(frozen=True, slots=True)
class NotNullType:
    """`type!`"""

    at: int
    type: Type


@dataclass(frozen=True, slots=True)
class PartType:
    """A part of another type: `type.name`, `type[0]`; with the key `*`, of any other property or item."""

    at: int
    type: Type
    key: str | int
    of_array: bool = False


@dataclass(frozen=True, slots=True)
class ResourceType:
    """`resourceInput<'type@version'>` or `resourceOutput<…>`, by the function."""

    at: int
    function: str
    type: String


Type = (
    NamedType
    | LiteralType
    | ArrayType
    | TupleType
    | NullableType
    | UnionType
    | ObjectType
    | NotNullType
    | PartType
    | ResourceType
)


@dataclass(frozen=True, slots=True)
class Decorator:
    at: int
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class TargetScope:
    at: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Metadata:
    at: int
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Parameter:
    at: int
    name: str
    decorators: tuple[Decorator, ...]
    type: Type
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Variable:
    at: int
    name: str
    decorators: tuple[Decorator, ...]
    type: Type | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Output:
    at: int
    name: str
    decorators: tuple[Decorator, ...]
    type: Type
    value: Expression


@dataclass(frozen=True, slots=True)
class Alias:
    """`type name = type`"""

    at: int
    name: str
    decorators: tuple[Decorator, ...]
    type: Type


@dataclass(frozen=True, slots=True)
class Function:
    """`func name(parameter type, …) type => body`"""

    at: int
    name: str
    decorators: tuple[Decorator, ...]
    parameters: tuple[tuple[str, Type], ...]
    returns: Type
    body: Expression


@dataclass(frozen=True, slots=True)
class Resource:
    """`resource name 'type' = body`, also nested in another's body."""

    at: int
    name: str
    type: String
    existing: bool
    body: Expression
    decorators: tuple[Decorator, ...]


@dataclass(frozen=True, slots=True)
class Module:
    at: int
    name: str
    path: String
    body: Expression
    decorators: tuple[Decorator, ...]


@dataclass(frozen=True, slots=True)
class ImportedName:
    """`name as alias`"""

    at: int
    name: str
    alias: str


@dataclass(frozen=True, slots=True)
class Import:
    """`import {names} from 'path'`, or `import * as space from 'path'`."""

    at: int
    names: tuple[ImportedName, ...]
    space: str | None
    path: String


Declaration = (
    TargetScope | Metadata | Parameter | Variable | Output | Alias | Function | Resource | Module | Import
)
