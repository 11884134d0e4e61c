"""Checks the settings of every part before anything starts, and compares them with those that a stack runs with."""

import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from devstack import environment
from devstack.home import ROOT, Home
from devstack.table import PARTS, Part
from services.chassis.env import BadSettings, Settings

OURS = ("CLUSTER", "DEVSTACK_PORTS")


class WrongSettings(Exception):
    """Settings that no part could start with; `str()` names each on a line of its own."""


def check(parts: Iterable[Part], home: Home, ports: Mapping[str, int], user: Mapping[str, str]) -> None:
    """Raise WrongSettings where a part would refuse the user's settings."""
    wrong: dict[str, None] = {}  # in order, each once: most variables are read by several parts
    for one in parts:
        if not one.is_store:
            wrong |= dict.fromkeys(_complaints(one, environment.for_part(one, home, ports, user)))
    if wrong:
        raise WrongSettings("\n  ".join(["these settings are wrong, so nothing is started:", *wrong]))


def changed(running: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the settings that differ from those a stack runs with, by name: their values may be secret."""
    return sorted(name for name in _names() if (running.get(name) or "") != (now.get(name) or ""))


def _complaints(one: Part, env: Mapping[str, str]) -> Iterator[str]:
    for config in _configs(one):
        try:
            if issubclass(config, Settings):
                config.from_env(env)
            else:
                config(**{name: env[name.upper()] for name in config.model_fields if env.get(name.upper())})
        except BadSettings as error:
            yield from str(error).splitlines()
        except ValidationError as error:
            for item in error.errors():
                yield f"{str(item['loc'][0]).upper()}: {item['msg']} (got {item['input']!r})"


def _configs(one: Part) -> list[Any]:
    """Return the classes of a part's `config.py`, which name every variable that it reads."""
    assert one.module  # noqa: S101 - stores are not checked
    if one.folder == ".":
        module = importlib.import_module(f"{one.module.rpartition('.')[0]}.config")
    else:
        folder = str(ROOT / one.folder)  # the operator's package is not on this process's path
        if folder not in sys.path:
            sys.path.append(folder)
        module = importlib.import_module(f"{one.module.rpartition('.')[0]}.config")
    classes = inspect.getmembers(module, inspect.isclass)
    return [one for _, one in classes if one.__module__ == module.__name__ and hasattr(one, "model_fields")]


def _names() -> set[str]:
    ours = [one for one in PARTS.values() if not one.is_store]
    read = {name.upper() for one in ours for config in _configs(one) for name in config.model_fields}
    ports = {variable for one in PARTS.values() for variable, _ in one.ports}
    # What the stack decides for each part is no setting of the user's; which context is used, `up` says at its end.
    decided = {"GRPC_PORT", "HTTP_PORT", "LISTEN_HOST", "NAMESPACE", "KUBECONFIG"}
    decided |= {name for name in read if name.endswith("_ADDR")}
    return (read | ports | {*OURS, *environment.STORE_URLS}) - decided
