"""Makes values.schema.json: Helm refuses a value that it does not know, with the value's name, before anything is rendered."""

from typing import Any

from devstack.charts.values import Value

DRAFT = "http://json-schema.org/draft-07/schema#"  # what every Helm understands
GLOBAL = {"type": "object", "description": "What Helm hands to every chart within a chart; nothing here reads it."}


def schema(chart: str, values: Value) -> dict[str, Any]:
    """Give the schema of a chart's values."""
    made = _of(values)
    made["properties"]["global"] = GLOBAL
    return {"$schema": DRAFT, "title": f"Values of the chart {chart}", **made}


def _of(value: Value) -> dict[str, Any]:
    if value.like:
        return {"$ref": "#" + "".join(f"/properties/{part}" for part in value.like)}
    if value.children:
        below = {child.path[-1]: _of(child) for child in value.children}
        return {"type": "object", "additionalProperties": False, "properties": below}
    return {"description": value.says, **(value.shape or {})}
