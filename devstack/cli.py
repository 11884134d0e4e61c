"""The command line behind `make up`, `make down` and the rest."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from devstack import apiserver, fetch, helm, home, ports, stores
from devstack.client import Stack, StackError
from devstack.table import STORES, UnknownPart, part

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

INTERRUPTED = 130
EXAMPLE = "manifests/examples/checkout.yaml"
Name = Annotated[str, typer.Argument(help="The part's name, as in the status table.")]


def _stack() -> Stack:
    return Stack(home.default_home(home.user_environment()))


def _fail(error: Exception | str) -> NoReturn:
    errors.print(f"[red]error:[/] {error}", soft_wrap=True)
    raise typer.Exit(1)


@app.command()
def up() -> None:
    """Start the platform, and say what to try."""
    stack, env = _stack(), home.user_environment()
    if stack.is_running():
        console.print("It is running already; what was stopped is started.")
        for row in stack.rows():
            if row["state"] == "stopped":
                stack.start(row["name"])
    else:
        try:
            stack.launch(env, free=env.get("DEVSTACK_PORTS") == "free", say=lambda line: console.print(f"  {line} …"))
        except (fetch.CannotFetch, ports.PortTaken, stores.CannotStart, StackError) as error:
            _fail(error)
        except KeyboardInterrupt:
            _interrupted(stack)
    _wait(stack)
    url = stack.env()["CARTWRIGHT_URL"].replace("127.0.0.1", "localhost")
    json = "-H 'Content-Type: application/json'"
    console.print(
        f"""
Cartwright is up: {url}   (its documentation: {url}/docs)

A first order:
  curl -s {url}/api/v1/cart/items {json} -d '{{"product_id": 1, "quantity": 2}}'
  curl -s {url}/api/v1/checkout {json} -d '{{"idempotency_key": "first"}}'
  curl -s {url}/api/v1/orders

The same as a resource:
  eval "$(make -s env)"
  kubectl apply -f {EXAMPLE}
  kubectl wait --for=condition=Finished checkout/first
  kubectl get checkouts

make status shows the parts, eval "$(make -s env)" lets psql, redis-cli and kubectl find them, make down ends it.""",
        soft_wrap=True,
    )


@app.command("fetch")
def fetch_all() -> None:
    """Bring everything that the platform and its tests need into the cache."""
    user = home.user_environment()

    def say(line: str) -> None:
        console.print(f"  {line} …")

    try:
        stores.find(set(STORES), user, say)
        helm.find(user, say)
    except (fetch.CannotFetch, stores.CannotStart) as error:
        _fail(error)


def _wait(stack: Stack) -> None:
    """Wait until all is ready, showing what changes; stop everything where that fails."""
    shown: dict[str, str] = {}

    def watch(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if shown.get(row["name"]) != row["state"]:
                shown[row["name"]] = row["state"]
                console.print(f"  {row['name']:<20} {row['state']}")

    try:
        stack.wait_ready(watch=watch)
    except StackError as error:
        stack.down()
        _fail(f"{error}\n(everything that had been started is stopped again)")
    except KeyboardInterrupt:
        _interrupted(stack)


def _interrupted(stack: Stack) -> NoReturn:
    errors.print("interrupted: stopping what was started …")
    stack.down()
    errors.print("nothing is left running")
    raise typer.Exit(INTERRUPTED)


@app.command()
def down() -> None:
    """End the platform; its data stays."""
    stack = _stack()
    running = stack.is_running()
    stack.down()
    console.print("ended" if running else "it was not running")


@app.command()
def status() -> None:
    """Show every part; exits with 0 only if all are ready."""
    try:
        rows = _stack().rows()
    except StackError as error:
        _fail(error)
    table = Table("PART", "STATE", "PID", "RESTARTS", "PORTS", "UP")
    for row in rows:
        listed = ", ".join(str(port) for port in row["ports"])
        table.add_row(
            row["name"], row["state"], str(row["pid"] or ""), str(row["restarts"]), listed, f"{row['seconds']} s"
        )
    console.print(table)
    raise typer.Exit(0 if all(row["state"] == "ready" for row in rows) else 1)


@app.command()
def env() -> None:
    """Print the export lines that let psql, redis-cli, kubectl and curl find the platform."""
    user = home.user_environment()
    try:
        exported = _stack().env()
        programs = stores.find({"postgres", "redis"}, user, lambda _: None)
        kubectl = apiserver.kubectl(user, lambda line: errors.print(f"  {line} …"))
    except (StackError, fetch.CannotFetch) as error:
        _fail(error)
    folders = (str(programs.postgres), str(programs.redis.parent), str(kubectl.parent))
    missing = [folder for folder in folders if folder not in user.get("PATH", "").split(":")]
    exported["PATH"] = ":".join([user.get("PATH", ""), *missing])  # the user's own programs come first
    for name, value in exported.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def logs(name: Annotated[str, typer.Argument()] = "", *, follow: bool = True) -> None:
    """Follow the log of a part, or of all."""
    folder = _stack().home.path / "logs"
    try:
        chosen = [folder / f"{part(name).name}.log"] if name else sorted(folder.glob("*.log"))
    except UnknownPart as error:
        _fail(error)
    there = [str(path) for path in chosen if path.exists()]
    if not there:
        _fail("there are no logs yet; start it with: make up")
    subprocess.run(["tail", "-n", "50", *(["-F"] if follow else []), *there], check=False)


def _order(verb: str, name: str) -> None:
    stack = _stack()
    try:
        stack.order(verb, part=part(name).name)
        if verb != "stop":
            stack.wait_ready(name, timeout=60)
    except (StackError, UnknownPart) as error:
        _fail(error)
    console.print(f"{name}: {stack.row(name)['state']}")


@app.command()
def stop(name: Name) -> None:
    """Stop a part, and keep it stopped."""
    _order("stop", name)


@app.command()
def start(name: Name) -> None:
    """Start a part that was stopped."""
    _order("start", name)


@app.command()
def restart(name: Name) -> None:
    """Stop a part and start it again."""
    _order("restart", name)


@app.command()
def clean() -> None:
    """Delete all data, logs and state."""
    stack = _stack()
    if stack.is_running():
        _fail("it is running; end it first: make down")
    path: Path = stack.home.path
    shutil.rmtree(stores.data_folder("postgres", stack.home), ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    console.print(f"deleted {path}")
