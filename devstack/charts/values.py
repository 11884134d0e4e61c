"""Reads a values.yaml with its comments: `# -- …` says what a value is, `# @schema …` what it may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SHAPES: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("shapes.yaml").read_text())


class Undescribed(ValueError):
    """A value lacks what a reader needs; `str()` names it and says what to write."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value, or a group of them; `like` is the path of the one whose description it shares."""

    path: tuple[str, ...]
    default: Any
    says: str = ""
    shape: Mapping[str, Any] | None = None
    like: tuple[str, ...] | None = None
    children: tuple["Value", ...] = ()

    @property
    def name(self) -> str:
        """How a person writes it, with dots."""
        return ".".join(self.path)

    def leaves(self) -> list["Value"]:
        """Give the values in it that are no groups, in the file's order."""
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]


def read(text: str) -> Value:
    """Give the values of a file; Undescribed where one has no comment, nor a namesake before it that has."""
    lines = text.splitlines()
    described: dict[str, Value] = {}  # the last of each name that has a comment of its own

    def group(path: tuple[str, ...], defaults: Mapping[str, Any], node: yaml.MappingNode) -> Value:
        children = []
        for key, below in node.value:
            name = str(key.value)
            children.append(value((*path, name), defaults[name], below, *_comment(lines, key.start_mark)))
        return Value(path, defaults, children=tuple(children))

    def value(path: tuple[str, ...], default: Any, node: yaml.Node, says: str, annotated: str) -> Value:
        name = path[-1]
        known = described.get(name)
        if not says and known and type(default) is type(known.default):
            return Value(path, default, known.says, known.shape, like=known.path)
        if isinstance(node, yaml.MappingNode) and default and not annotated:
            return group(path, default, node)
        if not says:
            raise Undescribed(f"{'.'.join(path)}: say what it is, in a comment above it: # -- …")
        described[name] = Value(path, default, says, _shape(path, default, annotated))
        return described[name]

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise Undescribed("values.yaml holds no values")
    return group((), yaml.safe_load(text), root)


def _comment(lines: list[str], mark: yaml.Mark) -> tuple[str, str]:
    """Give what the comment right above a key says, and its annotation; a key within a line has none."""
    if lines[mark.line][: mark.column].strip():
        return "", ""
    first = mark.line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    says, annotated = "", ""
    for line in (line.strip() for line in lines[first : mark.line]):
        if line.startswith("# -- "):
            says = line.removeprefix("# -- ")
        elif line.startswith("# @schema "):
            annotated = line.removeprefix("# @schema ")
        elif says:
            says += f" {line.removeprefix('#').strip()}"
    return says, annotated


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
            return {"type": "integer", "minimum": 0}
        case float():
            return {"type": "number", "minimum": 0}
        case str():
            return {"type": "string"}
    raise Undescribed(f"{'.'.join(path)}: say what it may hold, in a comment above it: # @schema …")
