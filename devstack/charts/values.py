"""Reads a values.yaml with its comments.

`# -- …` says what a value is, `# @schema …` what it may be, and `# @also` that every component may have one of its own;
`# @also services operator` restricts that to the components under these names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LARGEST = 2**31 - 1  # Kubernetes' own numbers are 32 bits wide
SHAPES: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("shapes.yaml").read_text())


class Undescribed(ValueError):
    """A value lacks what a reader needs; `str()` names it and says what to write."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value, or a group of them.

    `like` is the path of the one whose description it shares. `also` names the groups whose components may have this value
    as their own: `()` for none of them, `("",)` for all.
    """

    path: tuple[str, ...]
    default: Any
    says: str = ""
    shape: Mapping[str, Any] | None = None
    like: tuple[str, ...] | None = None
    children: tuple["Value", ...] = ()
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How a person writes it, with dots."""
        return ".".join(self.path)

    def leaves(self) -> list["Value"]:
        """Give the values in it that are no groups, in the file's order."""
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]


@dataclass(frozen=True, slots=True)
class Comment:
    """What stands above a key."""

    says: str = ""
    shape: str = ""
    also: tuple[str, ...] = ()


def read(text: str) -> Value:
    """Give the values of a file; Undescribed where one has no comment, nor a namesake before it that has."""
    lines = text.splitlines()
    described: dict[str, Value] = {}  # the last of each name that has a comment of its own

    def group(path: tuple[str, ...], defaults: Mapping[str, Any], node: yaml.MappingNode) -> Value:
        children = []
        for key, below in node.value:
            name = str(key.value)
            children.append(value((*path, name), defaults[name], below, _comment(lines, key.start_mark)))
        return Value(path, defaults, children=tuple(children))

    def value(path: tuple[str, ...], default: Any, node: yaml.Node, comment: Comment) -> Value:
        name = path[-1]
        known = described.get(name)
        if not comment.says and known and type(default) is type(known.default):
            return Value(path, default, known.says, known.shape, like=known.path)
        if isinstance(node, yaml.MappingNode) and default and not comment.shape:
            return group(path, default, node)
        if not comment.says:
            raise Undescribed(f"{'.'.join(path)}: say what it is, in a comment above it: # -- …")
        described[name] = Value(path, default, comment.says, _shape(path, default, comment.shape), also=comment.also)
        return described[name]

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise Undescribed("values.yaml holds no values")
    return group((), yaml.safe_load(text), root)


def _comment(lines: list[str], mark: yaml.Mark) -> Comment:
    """Give the comment right above a key; a key within a line has none."""
    if lines[mark.line][: mark.column].strip():
        return Comment()
    first = mark.line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    says, shape = "", ""
    also: tuple[str, ...] = ()
    for line in (line.strip() for line in lines[first : mark.line]):
        if line.startswith("# -- "):
            says = line.removeprefix("# -- ")
        elif line.startswith("# @schema "):
            shape = line.removeprefix("# @schema ")
        elif line.startswith("# @also"):
            also = tuple(line.removeprefix("# @also").split()) or ("",)
        elif says:
            says += f" {line.removeprefix('#').strip()}"
    return Comment(says, shape, also)


def _shape(path: tuple[str, ...], default: Any, annotated: str) -> Mapping[str, Any]:
    """Give the keywords of JSON Schema that a value is held to: those of its annotation, or its default's type."""
    if annotated:
        given = yaml.safe_load(annotated)
        if isinstance(given, str) and given not in SHAPES:
            raise Undescribed(f"{'.'.join(path)}: there is no shape {given!r} in shapes.yaml")
        shape: Mapping[str, Any] = SHAPES[given] if isinstance(given, str) else given
        return shape if "type" in shape else {**_typed(path, default), **shape}
    return _typed(path, default)


def _typed(path: tuple[str, ...], default: Any) -> Mapping[str, Any]:
    match default:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0, "maximum": LARGEST}
        case float():
            return {"type": "number", "minimum": 0}
        case str():
            return {"type": "string"}
    raise Undescribed(f"{'.'.join(path)}: say what it may hold, in a comment above it: # @schema …")
