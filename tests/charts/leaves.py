"""Every value that a chart's schema knows, down to the single texts and numbers in lists and maps."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]
Path_ = tuple[str | int, ...]
KEYS = ("key", "KEY")  # of maps: what most take, and what names of variables are


@dataclass(frozen=True, eq=False)  # known by what it is, in a dict
class Leaf:
    """A text or a number: where it stands, a list's first member by 0, and what it may be."""

    path: Path_
    schema: Schema

    @property
    def types(self) -> set[str]:
        """The types of JSON that it may have."""
        types = self.schema.get("type", ())
        return {types} if isinstance(types, str) else set(types)

    @property
    def pointer(self) -> str:
        """The JSON pointer that Helm calls it by."""
        return "".join(f"/{part}" for part in self.path)

    def fits(self, text: str) -> bool:
        """Whether it takes this text."""
        short = len(text) <= self.schema.get("maxLength", len(text))
        return short and bool(re.search(self.schema.get("pattern", ""), text))


def leaves(chart: Path) -> list[Leaf]:
    """Give every leaf of a chart's values; what Kubernetes alone describes has none."""
    root = json.loads((chart / "values.schema.json").read_text())
    return list(_below(root, root, ()))


def _below(schema: Any, root: Schema, path: Path_) -> Iterator[Leaf]:
    if isinstance(schema, bool):
        return
    if reference := schema.get("$ref"):
        found: Any = root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    for name, below in schema.get("properties", {}).items():
        yield from _below(below, root, (*path, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _below(schema["additionalProperties"], root, (*path, KEYS[0]))
    for below in schema.get("patternProperties", {}).values():
        yield from _below(below, root, (*path, KEYS[1]))
    if "items" in schema:
        yield from _below(schema["items"], root, (*path, 0))
    leaf = Leaf(path, schema)
    if leaf.types & {"string", "integer", "number"} or "enum" in schema:
        yield leaf


def plant(tree: dict[str, Any], path: Path_, value: Any) -> None:
    """Put a value at a path of a tree, which grows where it must."""
    at: Any = tree
    for part, following in zip(path, (*path[1:], None), strict=True):
        below = value if following is None else [] if following == 0 else {}
        if isinstance(at, list):
            at.extend([] if at else [below])
            at = at[0]
        else:
            at = at.setdefault(part, below)
