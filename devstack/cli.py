"""The command line behind `make up`, `make down` and the rest."""

import contextlib
import shlex
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from devstack import (
    apiserver,
    audits,
    cluster,
    fetch,
    health,
    helm,
    home,
    kafka_tools,
    live,
    logs,
    messages,
    ports,
    stores,
)
from devstack import status as showing
from devstack import trace as tracing
from devstack import watch as watching
from devstack.beside import NotReady, ended_by_signals
from devstack.client import FAILURES, Stack, StackError
from devstack.table import PARTS, STORES, UnknownPart, part

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

INTERRUPTED = 130
Name = Annotated[str, typer.Argument(help="The part's name, as in the status table.")]


def _stack() -> Stack:
    return Stack(home.default_home(home.user_environment()))


def _fail(error: Exception | str) -> NoReturn:
    errors.print("error: ", style="red", end="")
    errors.print(str(error))
    raise typer.Exit(1)


@app.command()
def up() -> None:
    """Start the platform, and say what to try."""
    stack, env = _stack(), home.user_environment()
    try:
        with live.shown_on(console) as shown:
            if stack.is_running():
                _start_stopped(stack, env)
            else:
                stack.launch(env, free=ports.is_free_wanted(env), say=shown)
            _wait(stack, shown)
    except FAILURES as error:
        _fail(error)
    except KeyboardInterrupt:
        _interrupted(stack)
    url, pages = (stack.env()[name].replace("127.0.0.1", "localhost") for name in ("CARTWRIGHT_URL", "CONSOLE_URL"))
    console.print(messages.what_to_try(url, pages, stack.own_cluster()))


def _start_stopped(stack: Stack, env: dict[str, str]) -> None:
    """Start the parts of a running stack that were stopped, and say which settings it does not have."""
    stopped = [row["name"] for row in stack.rows() if row["state"] == "stopped"]
    for name in stopped:
        stack.start(name)
    console.print(
        f"It is running already; started again: {', '.join(stopped)}." if stopped else "It is running already."
    )
    if changed := stack.changed_settings(env):
        console.print(messages.other_settings(changed))


@app.command("fetch")
def fetch_all() -> None:
    """Bring everything that the platform and its tests need into the cache."""
    user = home.user_environment()
    try:
        with live.shown_on(console) as shown:
            stores.find(set(STORES), user, shown)
            helm.find(user, shown)
            fetch.jars("kafka-tools", user, shown)
    except (fetch.CannotFetch, stores.CannotStart) as error:
        _fail(error)
    except KeyboardInterrupt:
        errors.print("interrupted; what is fetched and built already is kept")
        raise typer.Exit(INTERRUPTED) from None


def _wait(stack: Stack, shown: live.Shown) -> None:
    """Wait until all is ready; stop everything where that fails."""
    try:
        stack.wait_ready(watch=shown.parts)
    except StackError as error:
        stack.down()
        raise StackError(f"{error}\n(everything that had been started is stopped again)") from error


def _interrupted(stack: Stack) -> NoReturn:
    errors.print("interrupted: stopping what was started …")
    try:
        stack.down()
    except KeyboardInterrupt:  # what was asked for goes on without this process
        errors.print("it is still ending; to wait for that: make down")
    else:
        errors.print("nothing is left running; what is fetched and built already is kept")
    raise typer.Exit(INTERRUPTED)


@app.command()
def down() -> None:
    """End the platform; its data stays."""
    stack = _stack()
    running = stack.is_running()
    own = stack.own_cluster() if running else None
    stack.down()
    console.print("ended" if running else "it was not running")
    if own:
        console.print(messages.what_stays(own))


@app.command()
def status() -> None:
    """Show every part with its health and address, and how far the events are behind; exits with 0 only if all are ready."""
    stack = _stack()
    try:
        said, urls = stack.request("status"), stack.env()
    except StackError as error:
        _fail(error)
    parts, measured = health.ask(said["parts"], said["env"])
    showing.show(console, parts, measured, urls)
    raise typer.Exit(0 if all(one.is_ready for one in parts) else 1)


@app.command()
def env() -> None:
    """Print the export lines that let psql, redis-cli, kubectl and curl find the platform."""
    user = home.user_environment()
    try:
        stack = _stack()
        exported = stack.env()
        programs = stores.find({"postgres", "redis"}, user, lambda _: None)
        find = cluster.kubectl_for_own if stack.own_cluster() else apiserver.kubectl
        with live.shown_on(errors) as shown:
            kubectl = find(user, shown)
    except FAILURES as error:
        _fail(error)
    folders = (
        str(programs.postgres),
        str(programs.redis.parent),
        str(kubectl.parent),
        str(kafka_tools.write(stack.home)),
    )
    missing = [folder for folder in folders if folder not in user.get("PATH", "").split(":")]
    exported["PATH"] = ":".join([user.get("PATH", ""), *missing])  # the user's own programs come first
    for name, value in exported.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command("logs")
def follow_logs(
    name: Annotated[str, typer.Argument()] = "",
    *,
    request: str = "",
    checkout: str = "",
    level: str = "",
    follow: bool = True,
) -> None:
    """Follow the log of a part, or those of all parts but the stores; of one request or checkout, or from a level on."""
    stack = _stack()
    try:
        chosen = [part(name).name] if name else [*(one for one in PARTS if one not in STORES), "supervisor"]
        wanted = logs.Filter(request, checkout, level)
    except (UnknownPart, logs.UnknownLevel) as error:
        _fail(error)
    there = {one: stack.home.log(one) for one in chosen if stack.home.log(one).exists()}
    if not there:
        _fail(f"the platform of {stack.home.shown} has no logs yet; start it with: make up")
    if not stack.is_running():
        errors.print("It is not running. These are the logs of its last run.")
    elif not name:
        errors.print(f"The stores have logs of their own: make logs PART=…, which is one of {', '.join(STORES)}.")
    with contextlib.suppress(KeyboardInterrupt):  # the usual end of following
        logs.show(there, wanted, console.print, follow=follow, pause=logs.wait)


@app.command("console")
def open_console() -> None:
    """Open the console in a browser, or print its address where there is none."""
    stack = _stack()
    try:
        state, url = stack.row("console")["state"], stack.env()["CONSOLE_URL"]
    except StackError as error:
        _fail(error)
    if state != "ready":
        _fail(f"the console is {state}; start it with: make start PART=console")
    url = url.replace("127.0.0.1", "localhost")
    console.print(url if not _has_screen() or not webbrowser.open(url) else f"opened {url}")


def _has_screen() -> bool:
    """Whether a browser could show a window; without one, a text browser would take the terminal."""
    env = home.user_environment()
    return sys.platform == "darwin" or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


@app.command()
def story(checkout: Annotated[str, typer.Argument(help="Its id, order id, key, request id or trace id.")] = "") -> None:
    """Print the story of one purchase, from every service and log."""
    if not checkout:
        _fail("which checkout? make story CHECKOUT=<its id, order id, key, request id or trace id>")
    stack = _stack()
    try:
        addresses = {name: value for name, value in stack.env().items() if name.endswith("_ADDR")}
    except StackError as error:
        _fail(error)
    logs_of = [str(stack.home.log(one)) for one in PARTS if one not in STORES]
    command = [sys.executable, "-m", "services.console.terminal", checkout, *logs_of]
    done = subprocess.run(command, cwd=home.ROOT, env=home.user_environment() | addresses, check=False)
    raise typer.Exit(done.returncode)


@app.command()
def audit() -> None:
    """Hold the books of all stores against each other once. Exits with 1 where they differ, with 2 where one cannot be read."""
    stack = _stack()
    try:
        env = stack.environment("auditor")
        env |= {name: value for name, value in home.user_environment().items() if name.startswith("AUDIT_")}
    except StackError as error:
        _fail(error)
    command = [sys.executable, "-m", "services.auditor.main", "once"]
    with console.status("reading the books of every store"):
        done = subprocess.run(command, cwd=home.ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    for shown in audits.render(done.stdout.splitlines()):
        console.print(shown, soft_wrap=False)
    raise typer.Exit(done.returncode)


def _change(verb: str, name: str) -> None:
    stack = _stack()
    try:
        if not name:
            _fail(f"which part? make {verb} PART=gateway; the parts are: {', '.join(PARTS)}")
        stack.request(verb, part=part(name).name)
        if verb != "stop":
            stack.wait_ready(name, timeout=60)
    except (StackError, UnknownPart) as error:
        _fail(error)
    console.print(f"{name}: {stack.row(name)['state']}")


@app.command()
def stop(name: Name = "") -> None:
    """Stop a part, and keep it stopped."""
    _change("stop", name)


@app.command()
def start(name: Name = "") -> None:
    """Start a part that was stopped."""
    _change("start", name)


@app.command()
def restart(name: Name = "") -> None:
    """Stop a part and start it again."""
    _change("restart", name)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bank(context: typer.Context) -> None:
    """Set the behaviour of this stack's bank; the arguments are those of `python -m services.bank.admin`."""
    stack = _stack()
    try:
        state, address = stack.row("bank")["state"], stack.env()["BANK_ADDR"]
    except StackError as error:
        _fail(error)
    if state != "ready":
        _fail(f"the bank is {state}; start it with: make start PART=bank")
    command = [sys.executable, "-m", "services.bank.admin", *context.args]
    done = subprocess.run(command, cwd=home.ROOT, env=home.user_environment() | {"BANK_ADDR": address}, check=False)
    raise typer.Exit(done.returncode)


@app.command()
def watch() -> None:
    """Watch the platform with Prometheus until Ctrl-C: its rules, its alerts, and Grafana's dashboards where there is one."""
    try:
        with ended_by_signals():
            watching.watch(_stack(), home.user_environment(), console.print, building=lambda: live.shown_on(console))
    except (*FAILURES, NotReady) as error:
        _fail(error)
    except KeyboardInterrupt:
        console.print("ended")


@app.command()
def trace() -> None:
    """Trace the platform with Jaeger until Ctrl-C: every request is traced, and each trace has a page."""
    try:
        with ended_by_signals():
            tracing.trace(_stack(), home.user_environment(), console.print, building=lambda: live.shown_on(console))
    except (*FAILURES, NotReady) as error:
        _fail(error)
    except KeyboardInterrupt:
        console.print("ended")


@app.command()
def clean() -> None:
    """Delete all data, logs and state."""
    stack = _stack()
    if stack.is_running():
        _fail("it is running; end it first: make down")
    path: Path = stack.home.path
    for state in path.glob("*/state.json"):
        if Stack(home.Home(state.parent)).is_running():
            _fail(f"tests are running in {state.parent}; wait until they have ended")
    for folder in (stores.data_folder("postgres", stack.home), path):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            _fail(f"{folder} could not be deleted whole: is some of it another user's?")
    console.print(f"deleted {path}")
