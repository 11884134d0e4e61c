"""Applies a Checkout, waits until it has ended, and deletes it: the chart's own test, run in the operator's image."""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS = 90
env = os.environ  # noqa: TID251 - it runs alone, in a pod of its own


def ask(method: str, url: str, body: Any = None) -> Any:
    """Ask the API server, and give its answer; HTTPError where it refuses."""
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - https, to the API server
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:  # noqa: S310 - as above
        return json.load(answer)


def finished(checkout: Any) -> bool:
    """Whether it has ended."""
    conditions = checkout.get("status", {}).get("conditions", [])
    return any(one["type"] == "Finished" and one["status"] == "True" for one in conditions)


def main() -> int:
    """Give 0 where the Checkout ended as it should: bought, or cancelled where that was asked for."""
    spec = json.loads(env["SPEC"])
    host = f"https://{env['KUBERNETES_SERVICE_HOST']}:{env['KUBERNETES_SERVICE_PORT']}"
    url = f"{host}/apis/cartwright.dev/v1alpha1/namespaces/{env['NAMESPACE']}/checkouts"
    kind = {"apiVersion": "cartwright.dev/v1alpha1", "kind": "Checkout"}
    metadata = {"generateName": "helm-test-", "labels": json.loads(env["LABELS"])}
    made = ask("POST", url, kind | {"metadata": metadata, "spec": spec})
    name = made["metadata"]["name"]
    ends_at = time.monotonic() + SECONDS
    while not finished(made):
        if time.monotonic() > ends_at:
            sys.stdout.write(f"{name} has not ended within {SECONDS} s: {json.dumps(made.get('status'))}\n")
            return 1
        time.sleep(0.5)
        made = ask("GET", f"{url}/{name}")
    status = made["status"]
    sys.stdout.write(f"{name}: {status['phase']} {status['progress']}\n")
    ask("DELETE", f"{url}/{name}")
    return 0 if status["phase"] == ("Failed" if spec.get("cancelRequested") else "Completed") else 1


if __name__ == "__main__":
    sys.exit(main())
