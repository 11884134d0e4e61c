"""Reads openapi.yaml for the tests that hold requests and answers against it."""

import jsonschema_rs

from services.gateway.docs import openapi

VERBS = ("get", "post", "put", "delete")


def operations():
    """Give the verb, the path and the description of every operation."""
    return [
        (verb.upper(), path, item[verb]) for path, item in openapi()["paths"].items() for verb in VERBS if verb in item
    ]


def followed(part):
    """Give a part of the contract, or what its $ref names."""
    if "$ref" not in part:
        return part
    found = openapi()
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def answer(path, verb, status):
    """Give the description of an answer."""
    return followed(openapi()["paths"][path][verb.lower()]["responses"][str(status)])


def validator(schema):
    """Give what holds a value against a schema of the contract."""
    return jsonschema_rs.validator_for(schema | {"components": openapi()["components"]}, validate_formats=True)


def schema_of(described):
    """Give the schema of a body or an answer."""
    return described["content"]["application/json"]["schema"]


def examples_of(described):
    """Give the examples of a body or an answer."""
    content = described.get("content", {}).get("application/json", {})
    single = [content["example"]] if "example" in content else []
    return single + [one["value"] for one in content.get("examples", {}).values()]
