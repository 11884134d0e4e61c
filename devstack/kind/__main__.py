"""`python -m devstack.kind up|down`: the platform on a kind cluster."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from rich.console import Console

from devstack.home import user_environment
from devstack.kind import images
from devstack.kind.cluster import NAMESPACE, Cluster, of
from devstack.kind.helm import PLATFORM, STORES, install_platform, install_stores
from devstack.kind.programs import KindError
from devstack.messages import EXAMPLE, JSON

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console(highlight=False, markup=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

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
    cluster = of(user_environment())
    try:
        cluster.programs.check()
        there = cluster.exists()
        if there and cluster.answers():
            cluster.check_folder()
        if there:
            cluster.delete()
    except KindError as error:
        _fail(error)
    console.print(f"deleted the cluster {cluster.name!r}" if there else f"there was no cluster {cluster.name!r}")
    if there and not cluster.current_context():
        console.print("kubectl has no current context now; kubectl config use-context NAME chooses one")


def _up(env: Mapping[str, str]) -> None:
    cluster = of(env)
    programs = cluster.programs
    programs.check()
    port = env.get("GATEWAY_PORT") or DEFAULT_PORT
    if not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004 - the highest port
        raise KindError(f"GATEWAY_PORT={port}: must be a port number from 1 to 65535")
    if cluster.exists():
        cluster.check()
        console.print(f"  the cluster {cluster.name!r} is there already")
    else:
        _step("making the cluster", lambda: cluster.make(env.get("KIND_NODE_IMAGE", ""), int(port)))
    tag = env.get("IMAGE_TAG") or _step("building the images", lambda: images.build(programs))
    if missing := images.to_load(cluster, tag):
        short = ", ".join(image.rpartition("/")[2] for image in missing)
        _step(f"putting {len(missing)} images into the cluster ({short})", lambda: cluster.load(missing))
    _step("preparing the namespace", cluster.prepare)
    _install(cluster, STORES, install_stores(cluster))
    _install(cluster, PLATFORM, install_platform(cluster, tag))
    url = f"http://localhost:{cluster.port()}"
    console.print(_what_to_try(cluster, url))
    if programs.env.get("KUBECONFIG") != env.get("KUBECONFIG"):
        console.print(
            "In this shell KUBECONFIG names the API server of make up; to reach this cluster: unset KUBECONFIG"
        )


def _what_to_try(cluster: Cluster, url: str) -> str:
    """Return the URL and commands for a first order, and how the cluster becomes the one that kubectl uses."""
    current = cluster.current_context()
    context = f'The current context of kubectl is "{current}".'
    if current != cluster.context:
        context = (
            f'The current context of kubectl is still "{current}". To change it, and to go back:\n'
            f"  kubectl config use-context {cluster.context}\n"
            f"  kubectl config use-context {current}"
        )
    return f"""
Cartwright is up on {cluster.context}: {url}   (its documentation: {url}/docs)

A first order, which appears in the list within a second:
  curl -s {url}/api/v1/cart/items {JSON} -d '{{"product_id": 1, "quantity": 2}}'
  curl -s {url}/api/v1/checkout {JSON} -d '{{"idempotency_key": "first"}}'
  sleep 1; curl -s {url}/api/v1/orders

The same as a resource:
  kubectl --context {cluster.context} apply -f {EXAMPLE}
  kubectl --context {cluster.context} wait --for=condition=Finished checkout/first
  kubectl --context {cluster.context} get checkouts
The operator watches the namespace "{NAMESPACE}". A Checkout in another namespace stays without a status.
{context}

make kind-test tests it, make kind-down deletes it."""


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
    errors.print("error: ", style="red", end="")
    errors.print(str(error))
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
