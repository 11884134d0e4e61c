"""What a store may hand out: the domain's own types, and the standard library's, never a driver's."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest

ID_EDGES = [1, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1]
"""Ids around which drivers and encoders change their types or lose digits."""

edge_ids = pytest.mark.parametrize("edge", ID_EDGES)
_PLAIN = {int, str, bytes, bool, float, type(None)}


def assert_plain(value: Any, where: str = "value") -> None:
    """Fail where `value`, or anything inside it, has a type that is neither the domain's nor a plain one."""
    kind = type(value)
    if is_dataclass(value):
        assert kind.__module__.startswith("services."), f"{where} is a {kind}"
        for one in fields(value):
            assert_plain(getattr(value, one.name), f"{where}.{one.name}")
    elif kind in {tuple, list}:
        for number, one in enumerate(value):
            assert_plain(one, f"{where}[{number}]")
    elif kind is dict:
        for key, one in value.items():
            assert_plain(key, f"a key of {where}")
            assert_plain(one, f"{where}[{key!r}]")
    elif kind is datetime:
        assert value.tzinfo is UTC, f"{where} has the time zone {value.tzinfo!r}"
    elif isinstance(value, (Enum, Exception)):
        assert kind.__module__.startswith("services."), f"{where} is a {kind}"
    else:
        assert kind in _PLAIN, f"{where} is a {kind}"
