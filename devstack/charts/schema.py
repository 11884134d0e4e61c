"""Makes values.schema.json: Helm refuses a value that it does not know, with the value's name, before anything is rendered."""

from collections.abc import Iterator
from typing import Any

from devstack.charts.values import Value

DRAFT = "http://json-schema.org/draft-07/schema#"  # what every Helm understands
COMPONENT = "resources"  # a group with this value is a component: it has containers of its own
ENABLED = {"type": "boolean", "description": "For the condition of an umbrella chart; nothing here reads it."}
GLOBAL = {"type": "object", "description": "What an umbrella chart sets for all its charts, ours or not."}


def schema(chart: str, values: Value) -> dict[str, Any]:
    """Give the schema of a chart's values."""
    made = _of(values)
    shared = [(child, child.also) for group in values.children for child in group.children if child.also]
    for path, properties in _components((), made["properties"]):
        for child, groups in shared:
            if "" in groups or path[0] in groups:
                properties.setdefault(child.path[-1], _reference(child.path))
    made["properties"]["global"] = {**GLOBAL, "properties": made["properties"].get("global", {}).get("properties", {})}
    made["properties"]["enabled"] = ENABLED
    return {"$schema": DRAFT, "title": f"Values of the chart {chart}", **made}


def _of(value: Value) -> dict[str, Any]:
    if value.like:
        return _reference(value.like)
    if value.children:
        below = {child.path[-1]: _of(child) for child in value.children}
        return {"type": "object", "additionalProperties": False, "properties": below}
    return {"description": value.says, **(value.shape or {})}


def _reference(path: tuple[str, ...]) -> dict[str, Any]:
    return {"$ref": "#" + "".join(f"/properties/{part}" for part in path)}


def _components(path: tuple[str, ...], properties: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Give the properties of every component, with its path."""
    for name, below in properties.items():
        if "description" not in below and "properties" in below:
            found = below["properties"]
            if COMPONENT in found:
                yield (*path, name), found
            yield from _components((*path, name), found)
