"""What `make charts` makes is what stands there."""

import json

import pytest

from devstack.charts import table
from devstack.charts.__main__ import made
from devstack.charts.schema import schema
from devstack.charts.values import Undescribed, read
from devstack.home import ROOT

VALUES = """\
color:
  # -- Which it is,
  # in words.
  # @schema {enum: [red, blue]}
  name: red
  # -- How deep.
  depth: 3
size:
  # -- A table: a | b.
  depth: 4
  box: {name: blue}
"""


@pytest.mark.parametrize(("path", "text"), [pytest.param(*one, id=str(one[0].relative_to(ROOT))) for one in made()])
def test_what_is_made_is_what_stands_there(path, text):
    """Schemas, tables and the copy of the resource's definition are those of their sources; `make charts` makes them."""
    assert path.read_text() == text, f"{path.relative_to(ROOT)} is not that of its source any more: make charts"


def test_a_comment_becomes_a_schema():
    """A value is held to its annotation, or its default's type; nothing else may stand beside it."""
    made_schema = schema("c", read(VALUES))
    color = made_schema["properties"]["color"]
    assert color["additionalProperties"] is False
    assert color["properties"] == {
        "name": {"description": "Which it is, in words.", "type": "string", "enum": ["red", "blue"]},
        "depth": {"description": "How deep.", "type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    }
    assert made_schema["additionalProperties"] is False


def test_one_description_serves_all_of_a_name():
    """A value without a comment is held to the last one of its name before it that has one, and told alike."""
    values = read(VALUES)
    box = schema("c", values)["properties"]["size"]["properties"]["box"]
    assert box["properties"] == {"name": {"$ref": "#/properties/color/properties/name"}}
    assert [leaf.says for leaf in values.leaves() if leaf.name == "size.box.name"] == ["Which it is, in words."]


def test_a_comment_becomes_a_row():
    """The table has a row for each value, with its default; what stands around the table stays."""
    text = table.put(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", read(VALUES))
    assert "| `size.depth` | `4` | A table: a \\| b. |" in text
    assert "| `size.box.name` | `blue` | Which it is, in words. |" in text
    assert "old" not in text
    assert (text.startswith("before\n"), text.endswith("\nafter\n")) == (True, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {b: 1}\n", "a.b: say what it is"),
        ("# -- A list.\na: []\n", "a: say what it may hold"),
        ("# -- A list.\n# @schema lists\na: []\n", "a: there is no shape 'lists'"),
        ("- 1\n", "holds no values"),
    ],
)
def test_a_value_that_nothing_is_said_of(text, said):
    """A value without a description, or that could hold anything, is refused by its name."""
    with pytest.raises(Undescribed, match=said):
        read(text)


def test_a_readme_without_a_place():
    """A README that does not say where its table goes is told how."""
    with pytest.raises(table.NoPlace, match="<!-- values"):
        table.put("# A chart\n", read(VALUES))


def test_every_object_of_a_schema_is_closed():
    """In both schemas no group of values takes a name that it does not know."""
    for chart in ("cartwright", "cartwright-stores"):
        made_schema = json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())
        waiting = [made_schema]
        while waiting:
            one = waiting.pop()
            if "description" not in one and "properties" in one:
                assert one["additionalProperties"] is False
                waiting += one["properties"].values()


SHARED = """\
all:
  # -- Which pool.
  # @schema {type: string}
  # @also parts
  pool: ""
parts:
  one:
    # -- What it asks for.
    # @schema {type: object}
    resources: {}
other:
  resources: {}
"""


def test_a_component_may_have_its_own():
    """A value that is marked so is let in for every component of the named groups, and for no other."""
    properties = schema("c", read(SHARED))["properties"]
    assert properties["parts"]["properties"]["one"]["properties"]["pool"] == {
        "$ref": "#/properties/all/properties/pool"
    }
    assert "pool" not in properties["other"]["properties"]
