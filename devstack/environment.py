"""The environment that the parts run in: addresses, ports and the stores' URLs."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from devstack import stores
from devstack.apiserver import NAMESPACE
from devstack.home import ROOT, Home
from devstack.ports import HOST
from devstack.table import PARTS, Part

STORE_URLS = ("POSTGRES_URL", "BANK_POSTGRES_URL", "MONGODB_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "KUBECONFIG")
DATABASES = {"POSTGRES_URL": "ecommerce", "BANK_POSTGRES_URL": "bank"}
"""The databases of our own PostgreSQL."""
PRINTED_BY = "CARTWRIGHT_HOME"
"""The variable by which `make env` says whose URLs it printed."""


def without_printed(home: Home, ports: Mapping[str, int], user: Mapping[str, str]) -> dict[str, str]:
    """Return the user's environment without the URLs that `make env` has put there: those are no stores of their own.

    They may be another folder's: a shell that has read `make env` there is no wish to use its stores from here.
    """
    printed = [urls(home, ports, {})]
    other = Home(Path(user.get(PRINTED_BY) or home.path))
    if other.path != home.path and other.plan.exists():
        plan = json.loads(other.plan.read_text())
        printed.append(urls(other, plan["ports"], {}))
    return {
        name: value
        for name, value in user.items()
        if name not in STORE_URLS or value not in {ours[name] for ours in printed}
    }


def urls(home: Home, ports: Mapping[str, int], user: Mapping[str, str]) -> dict[str, str]:
    """Return the URL of every store and service; a store of the user's own comes first."""
    postgres = f"postgresql://postgres@{HOST}:{ports['POSTGRES_PORT']}"
    ours = {
        **{name: f"{postgres}/{database}" for name, database in DATABASES.items()},
        "MONGODB_URL": f"mongodb://{HOST}:{ports['MONGODB_PORT']}",
        "REDIS_URL": f"redis://{HOST}:{ports['REDIS_PORT']}/0",
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports['KAFKA_PORT']}",
        "KUBECONFIG": str(home.kubeconfig),
    }
    for part in PARTS.values():
        if part.migrates:
            upper = part.name.upper()
            ours[f"{upper}_ADDR"] = f"{HOST}:{ports[f'{upper}_GRPC_PORT']}"
    ours["CARTWRIGHT_URL"] = f"http://{HOST}:{ports['GATEWAY_PORT']}"
    ours["CONSOLE_URL"] = f"http://{HOST}:{ports['CONSOLE_PORT']}"
    return ours | {name: user[name] for name in STORE_URLS if user.get(name)}


def for_part(part: Part, home: Home, ports: Mapping[str, int], user: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of one of our processes: the user's own, with what this stack decides."""
    env = {
        "APP_ENV": "dev",
        "AUTH_MODE": "mock",
        "BANK_ADMIN": "1",
        "DRAIN_DELAY": "0",
        **user,
        **urls(home, ports, user),
        **_by_socket(home, ports, user),
        "LISTEN_HOST": HOST,
        "PYTHONUNBUFFERED": "1",
    }
    if not part.uses_cluster:
        del env["KUBECONFIG"]  # it has no business there
    elif user.get("KUBECONFIG"):  # the user's own cluster, whose context names the namespace
        env["NAMESPACE"] = user.get("NAMESPACE") or NAMESPACE
    else:
        own = home.auditor_kubeconfig if part.name == "auditor" else home.operator_kubeconfig
        env |= {"KUBECONFIG": str(own), "NAMESPACE": NAMESPACE}
    if part.name == "auditor":
        env = {"AUDIT_NAMESPACES": env["NAMESPACE"], "AUDIT_COMMAND": "make story CHECKOUT={checkout_id}"} | env
    if part.folder != ".":
        env["PYTHONPATH"] = str(ROOT / part.folder)
    if part.name == "console":
        ours = (one for one in PARTS.values() if not one.is_store and one.name != "console")
        env["METRICS_ADDRS"] = ",".join(f"{one.name}={HOST}:{ports[one.ports[-1][0]]}" for one in ours)
    for variable, _ in part.ports:
        env["GRPC_PORT" if variable.endswith("_GRPC_PORT") else "HTTP_PORT"] = str(ports[variable])
    return env


def _by_socket(home: Home, ports: Mapping[str, int], user: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs by which our processes reach our own PostgreSQL: by its Unix socket, which is quicker than TCP.

    None is given for a database of the user's own, and where the folder's path is too long for a socket.
    """
    folder = stores.data_folder("postgres", home)
    if not stores.fits_socket(folder):
        return {}
    where = urlencode({"host": folder, "port": ports["POSTGRES_PORT"]}, quote_via=quote)
    return {
        name: f"postgresql://postgres@/{database}?{where}" for name, database in DATABASES.items() if not user.get(name)
    }


def exports(home: Home, ports: Mapping[str, int], user: Mapping[str, str]) -> dict[str, str]:
    """Return what `make env` prints: the URLs, and what makes a bare `psql` speak to our database."""
    shown = urls(home, ports, user) | {PRINTED_BY: str(home.path)}
    if "POSTGRES_URL" not in user:
        shown |= {
            "PGHOST": HOST,
            "PGPORT": str(ports["POSTGRES_PORT"]),
            "PGUSER": "postgres",
            "PGDATABASE": "ecommerce",
        }
    return shown
