"""`python -m devstack.kind up|down`: the platform on a kind cluster."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from rich.console import Console

from devstack.home import user_environment
from devstack.kind import images
from devstack.kind.cluster import NAMESPACE, Cluster
from devstack.kind.helm import PLATFORM, STORES, install_platform, install_stores
from devstack.kind.programs import KindError, Programs

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

T = TypeVar("T")
INTERRUPTED = 130
DEFAULT_PORT = "8080"


@app.command()
def up() -> None:
    """Make the cluster where there is none, build the images, install the charts, and say what to try."""
    env = user_environment()
    try:
        _up(env)
    except KindError as error:
        _fail(error)
    except KeyboardInterrupt:
        errors.print("interrupted; the cluster stays as it is: make kind-up goes on, make kind-down deletes it")
        raise typer.Exit(INTERRUPTED) from None


@app.command()
def down() -> None:
    """Delete the cluster with all that is in it."""
    cluster = _cluster(user_environment())
    try:
        cluster.programs.check()
        there = cluster.exists()
        if there:
            cluster.delete()
    except KindError as error:
        _fail(error)
    console.print("deleted" if there else f"there was no cluster {cluster.name!r}")


def _cluster(env: Mapping[str, str]) -> Cluster:
    return Cluster(Programs(env), env.get("KIND_CLUSTER") or "cartwright")


def _up(env: Mapping[str, str]) -> None:
    cluster = _cluster(env)
    programs = cluster.programs
    programs.check()
    port = env.get("GATEWAY_PORT") or DEFAULT_PORT
    if not port.isdigit():
        raise KindError(f"GATEWAY_PORT={port}: must be a port number")
    if cluster.exists():
        cluster.check()
        console.print(f"  the cluster {cluster.name!r} is there already")
    else:
        _step("making the cluster", lambda: cluster.make(env.get("KIND_NODE_IMAGE", ""), int(port)))
    tag = env.get("IMAGE_TAG") or _step("building the images", lambda: images.build(programs))
    for image in images.to_load(cluster, tag):
        _step(f"putting {image} into the cluster", partial(cluster.load, image))
    _step("preparing the namespace", cluster.prepare)
    _install(cluster, STORES, install_stores(cluster))
    _install(cluster, PLATFORM, install_platform(cluster, tag))
    url = f"http://localhost:{cluster.port()}"
    json = "-H 'Content-Type: application/json'"
    console.print(
        f"""
Cartwright is up on {cluster.context}: {url}   (its documentation: {url}/docs)

A first order:
  curl -s {url}/api/v1/cart/items {json} -d '{{"product_id": 1, "quantity": 2}}'
  curl -s {url}/api/v1/checkout {json} -d '{{"idempotency_key": "first"}}'

The same as a resource:
  kubectl --context {cluster.context} apply -f manifests/examples/checkout.yaml
  kubectl --context {cluster.context} get checkouts -w

make kind-test tests it, make kind-down deletes it.""",
        soft_wrap=True,
    )


def _step(what: str, do: Callable[[], T]) -> T:
    started = time.monotonic()
    if not console.is_terminal:
        console.print(f"  {what} …")
    with console.status(f"  {what} …"):
        done = do()
    console.print(f"  {what}: {time.monotonic() - started:.0f} s")
    return done


def _install(cluster: Cluster, chart: str, command: Sequence[str]) -> None:
    """Install a chart or upgrade it, showing how its pods get ready."""
    started = time.monotonic()
    console.print(f"  installing {chart} …")
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "helm.log"
        process = cluster.programs.start(log, *command)
        try:
            shown: dict[str, str] = {}
            while process.poll() is None:
                for pod, state in cluster.pods().items():
                    if shown.get(pod) != state:
                        shown[pod] = state
                        console.print(f"    {pod:<48} {state}")
                time.sleep(1)
        finally:
            process.terminate()
            process.wait()
        if process.returncode:
            raise KindError(f"{chart} could not be installed:\n{log.read_text().strip()}\n{_trouble(cluster)}")
    console.print(f"  installing {chart}: {time.monotonic() - started:.0f} s")


def _trouble(cluster: Cluster) -> str:
    states = [f"  {pod}: {state}" for pod, state in cluster.pods().items()]
    logs = f"kubectl --context {cluster.context} -n {NAMESPACE} logs POD --all-containers"
    return "\n".join([*states, f"Say more: {logs}"])


def _fail(error: Exception) -> NoReturn:
    errors.print(f"[red]error:[/] {error}", soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
