"""From types of Python, and from the table of fields, to JSON Schema (draft 2020-12)."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from prunekit.config.fields import Setting, table
from prunekit.config.kinds import Number, OneOf, Pattern, Share, Whole, YesNo
from prunekit.config.several_kinds import Indices, Names, Numbers, Several, Shares, Titles

Schema = dict[str, Any]
PLAIN: dict[Any, Schema] = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"}, type(None): {"type": "null"}
}  # fmt: skip
OPEN = ("criterion",)
"""Fields whose values plugins add to."""
ANY_KEY = "*"
"""The key of a `TypedDict` that stands for all others: their values are of its type."""


class Definitions:
    """Schemas of classes by name, each described once; ``strict`` ones refuse keys that are not described, as tests do."""

    def __init__(self, strict: bool = False) -> None:
        self.strict, self.known = strict, dict[str, Schema]()

    def of(self, kind: Any) -> Schema:  # noqa: PLR0911 (one for each form of type)
        """Return the schema of a type."""
        origin, args = get_origin(kind), get_args(kind)
        if kind is Any:
            return {}
        if kind in PLAIN:
            return dict(PLAIN[kind])
        if origin is Literal:
            return {"enum": list(args)}
        if origin in (NotRequired, Required):
            return self.of(args[0])
        if origin in (Union, types.UnionType):
            return self._either([self.of(each) for each in args])
        if origin is tuple and args[-1] is not Ellipsis:
            return {"type": "array", "prefixItems": [self.of(each) for each in args], "minItems": len(args), "maxItems": len(args)}
        if origin in (list, tuple, Sequence):
            return {"type": "array", "items": self.of(args[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(args[1])}
        return self._named(kind)

    @staticmethod
    def _either(parts: list[Schema]) -> Schema:
        """Return the schema of one of several; of plain types in one word."""
        if all(set(part) == {"type"} for part in parts):
            return {"type": [part["type"] for part in parts]}
        return {"anyOf": parts}

    def _named(self, kind: type) -> Schema:
        """Return where a class is described."""
        name = kind.__name__.lstrip("_")
        if name not in self.known:
            self.known[name] = {}  # what refers to itself finds this
            self.known[name] = self._class(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _class(self, kind: type) -> Schema:
        """Return the schema of a class: a setting by its table of fields, others by what they declare."""
        if dataclasses.is_dataclass(kind) and (rows := table(kind)):
            needed = [name for name, row in rows.items() if row.default is MISSING]
            properties = {name: self._field(row) for name, row in rows.items()}
            return self._object(properties, needed, _first_line(kind))
        hints = get_type_hints(kind, include_extras=True)
        if is_typeddict(kind):
            rest = hints.pop(ANY_KEY, None)
            wanted = [name for name, hint in hints.items() if get_origin(hint) is not NotRequired]
        else:
            hints = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
            wanted, rest = list(hints), None
        about = _described(kind)
        properties = {name: self.of(hint) | ({"description": about[name]} if name in about else {}) for name, hint in hints.items()}
        return self._object(properties, wanted, _first_line(kind), rest)

    def _object(self, properties: dict[str, Schema], required: list[str], about: str, rest: Any = None) -> Schema:
        """Return the schema of an object."""
        others: Schema = {"additionalProperties": self.of(rest)} if rest is not None else {}
        others |= {"additionalProperties": False} if self.strict and rest is None else {}
        return {"type": "object", "description": about, "properties": properties, "required": required, **others}

    def _field(self, row: Setting) -> Schema:
        """Return the schema of a field of a setting, which nobody need give where it has a default."""
        found = _value(row.kind)
        if row.name in OPEN:
            found = {"type": "string", "examples": found["enum"]}
        if row.default is None:
            found = {"anyOf": [found, {"type": "null"}]}
        told = {} if row.default is MISSING else {"default": row.kind.plain(row.default) if row.default is not None else None}
        return {**found, "title": row.label, "description": row.help, **told}


def _value(kind: Any) -> Schema:  # noqa: PLR0911 (one for each kind)
    """Return the schema of what a field takes."""
    match kind:
        case YesNo():
            return {"type": "boolean"}
        case OneOf(titles=titles):
            return {"enum": list(titles)}
        case Whole(least=least):
            return {"type": "integer", "minimum": least}
        case Share(whole=whole):
            return {"type": "number", "minimum": 0, **({"maximum": 1} if whole else {"exclusiveMaximum": 1})}
        case Number(least=least, above=above, below=below):
            bounds = {"minimum": least, "exclusiveMinimum": above, "exclusiveMaximum": below}
            return {"type": "number", **{name: bound for name, bound in bounds.items() if bound is not None}}
        case Pattern():
            return {"type": "string", "pattern": "^[0-9]{1,4}:[0-9]{1,4}$"}
        case Indices():
            return {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": 0}}}
        case Shares(one=one):
            return {"type": "object", "additionalProperties": _value(one)}
        case Numbers():
            return {"type": "array", "items": {"type": "number"}}
        case Several(one=one):
            return {"type": "array", "items": _value(one)}
        case Names() | Titles():
            return {"type": "array", "items": {"type": "string"}}
        case _:
            return {"type": "string"}


def _first_line(kind: type) -> str:
    """Return what a class says of itself first."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _described(kind: type) -> dict[str, str]:
    """Return what a class says of its fields, as numpydoc has it."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for names, about in re.findall(r"^ {4}(\w[\w, ]*) :[^\n]*\n((?: {8}[^\n]*\n)+)", f"{base.__doc__ or ''}\n", re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(about.split()))
    return found
