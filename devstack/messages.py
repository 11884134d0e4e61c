"""What `make up` prints when the platform is up."""

from devstack.apiserver import NAMESPACE
from devstack.cluster import Context

EXAMPLE = "manifests/examples/checkout.yaml"
JSON = "-H 'Content-Type: application/json'"


def what_to_try(url: str, console: str, own: Context | None) -> str:
    """Return the URLs of the platform, and commands for a first order; `own` is the user's own cluster, if one is used."""
    namespace = own.namespace if own else NAMESPACE
    where = f'your cluster, the context "{own.name}" ({own.server})' if own else "the API server that runs here"
    return f"""
Cartwright is up: {url}   (its documentation: {url}/docs)
The console shows what every purchase is doing: {console}   (make console opens it)

A first order, which appears in the list within a second:
  curl -s {url}/api/v1/cart/items {JSON} -d '{{"product_id": 1, "quantity": 2}}'
  curl -s {url}/api/v1/checkout {JSON} -d '{{"idempotency_key": "first"}}'
  sleep 1; curl -s {url}/api/v1/orders

The same as a resource, on {where}:
  eval "$(make -s env)"
  kubectl apply -f {EXAMPLE}
  kubectl wait --for=condition=Finished checkout/first
  kubectl get checkouts
The operator watches the namespace "{namespace}". A Checkout in another namespace stays without a status.

make status shows the parts, eval "$(make -s env)" lets psql, redis-cli and kubectl find them, make down ends it."""


def what_stays(own: Context) -> str:
    """Return what `make down` and `make clean` leave in the user's own cluster, and how to remove it."""
    return (
        f'The Checkouts and their definition stay in your cluster, the context "{own.name}" ({own.server}); to delete them'
        f" all: kubectl --context {own.name} delete -f crds/checkouts.yaml"
    )


def other_settings(names: list[str]) -> str:
    """Return that a running stack does not have the settings that it would be started with now."""
    return (
        f"It runs with other settings than those of this shell: {', '.join(names)}.\n"
        "They are read when it starts. To use those of this shell: make down && make up"
    )
