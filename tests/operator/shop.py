"""A checkout service that keeps what it is asked in memory, and an operator that is installed beside it by the chart."""

import json
import socket
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import requests
import yaml

from devstack import helm
from devstack.home import user_environment
from services.pb import call_pb2, checkout_pb2_grpc
from services.pb import checkout_pb2 as pb
from tests.charts.cases import CHART, DEV
from tests.charts.rendering import helm_environment
from tests.operator.program import Program

RULES = {
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
}


class Shop(checkout_pb2_grpc.CheckoutServiceServicer):
    """The checkout service of one release. What it starts is paid for ever, until `complete` is called."""

    def __init__(self):
        """Serve on a free port."""
        self.checkouts, self.started, self.ended = {}, [], False
        self._changed = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(8))
        checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self):
        """End it."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        self._server.stop(None).wait()

    def bought(self):
        """Give (namespace, name) of all that was started, each once for each call."""
        return [(one.namespace, one.name) for one in self.started]

    def sell(self, user_id=7):
        """Start a checkout of REST, and give its id."""
        checkout = _checkout(user_id, pb.REST, str(uuid.uuid4()))
        self._put(checkout)
        return checkout.id

    def complete(self):
        """Complete all that runs."""
        for one in list(self.checkouts.values()):
            done = pb.Checkout()
            done.CopyFrom(one)
            now = int(time.time() * 1000)
            done.saga_step, done.version, done.finished_at_ms = "COMPLETED", one.version + 1, now
            del done.steps[:]
            done.steps.extend(_step(name, now) for name in ("claim", "reserve", "pay", "confirm"))
            self._put(done)

    def _put(self, checkout):
        with self._changed:
            self.checkouts[checkout.user_id, checkout.origin, checkout.idempotency_key] = checkout
            self._changed.notify_all()

    def StartCheckouts(self, request, context):  # noqa: N802 - the proto's name
        """Start, or give what was started by the same key."""
        results = []
        for item in request.items:
            self.started.append(item.resource)
            key = item.user_id, item.origin, item.idempotency_key
            if key not in self.checkouts:
                self._put(_checkout(*key, item.resource))
            results.append(pb.StartCheckoutResult(answer=pb.Answer(checkout=self.checkouts[key])))
        return pb.StartCheckoutsResponse(results=results)

    def GetCheckouts(self, request, context):  # noqa: N802 - the proto's name
        """Give checkouts by id or by key."""

        def find(item):
            for one in list(self.checkouts.values()):
                by_key = (one.user_id, one.origin, one.idempotency_key)
                if item.checkout_id == one.id or by_key == (item.user_id, item.origin, item.idempotency_key):
                    return pb.GetCheckoutResult(checkout=one)
            return pb.GetCheckoutResult(refusal=call_pb2.Refusal(code=grpc.StatusCode.NOT_FOUND.value[0]))

        return pb.GetCheckoutsResponse(results=[find(one) for one in request.items])

    def ListCheckouts(self, request, context):  # noqa: N802 - the proto's name
        """Give those of REST, all on one page."""
        return pb.ListCheckoutsResponse(checkouts=[one for one in self.checkouts.values() if one.origin == pb.REST])

    def WatchCheckouts(self, request, context):  # noqa: N802 - the proto's name
        """Give every checkout once more at each change, until the service ends."""
        while context.is_active() and not self.ended:
            yield pb.WatchCheckoutsResponse(checkouts=list(self.checkouts.values()))
            with self._changed:
                self._changed.wait(0.5)


def _checkout(user_id, origin, key, resource=None):
    now = int(time.time() * 1000)
    return pb.Checkout(
        id=str(uuid.uuid4()),
        user_id=user_id,
        origin=origin,
        idempotency_key=key,
        resource=resource,
        saga_step="PAYING",
        total_minor=1,
        currency="USD",
        order_id=str(uuid.uuid4()),
        version=3,
        created_at_ms=now,
        steps=[
            _step("claim", now),
            _step("reserve", now),
            pb.StepRecord(name="pay", state="running", attempts=1, started_at_ms=now),
        ],
    )


def _step(name, now):
    return pb.StepRecord(name=name, state="done", attempts=1, started_at_ms=now, finished_at_ms=now)


class Release:
    """A release in a namespace: the chart's own rights and settings, its checkout service, and its operator when it runs."""

    def __init__(self, admin, folder, namespace, name="cartwright", **values):
        """Render the chart, and give the operator's account the rights that it makes. The namespaces must exist."""
        self.admin, self.namespace, self.shop, self.process = admin, namespace, Shop(), None
        command = [str(helm.find(user_environment(), print)), "template", name, str(CHART), "-n", namespace, "-f", "-"]
        command += ["-f", str(DEV[0]), "-s", "templates/rbac.yaml", "-s", "templates/operator.yaml"]
        env = helm_environment()
        done = subprocess.run(command, input=json.dumps(values), env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.objects = [one for one in yaml.safe_load_all(done.stdout) if one]
        (deployment,) = (one for one in self.objects if one["kind"] == "Deployment")
        pod = deployment["spec"]["template"]["spec"]
        self.account = pod["serviceAccountName"]
        env = {one["name"]: one.get("value", namespace) for one in pod["containers"][0]["env"]}
        self._env = env | {"CHECKOUT_ADDR": self.shop.address, "COMPARE_EVERY": "1", "RELIST_EVERY": "10"}
        self._log = folder / f"{namespace}-{name}.log"
        self._kubeconfig = folder / f"{namespace}-{name}.json"
        accounts = f"{admin.url}/api/v1/namespaces/{namespace}/serviceaccounts"
        admin.session.post(accounts, json={"metadata": {"name": self.account}}, timeout=10)
        self.install()
        answer = admin.session.post(f"{accounts}/{self.account}/token", json={"spec": {}}, timeout=10)
        config = yaml.safe_load(admin.kubeconfig.read_text())
        user = {"name": config["users"][0]["name"], "user": {"token": answer.json()["status"]["token"]}}
        self._kubeconfig.write_text(json.dumps(config | {"users": [user]}))

    def install(self):
        """Apply the roles."""
        for one in self.objects:
            if one["kind"] in RULES:
                answer = self.admin.session.patch(
                    self._url(one),
                    data=json.dumps(one),
                    params={"fieldManager": "helm", "force": "true"},
                    headers={"Content-Type": "application/apply-patch+yaml"},
                    timeout=10,
                )
                assert answer.ok, answer.text

    def uninstall(self):
        """Delete the roles."""
        for one in self.objects:
            if one["kind"] in RULES:
                self.admin.session.delete(self._url(one), timeout=10)

    def _url(self, one):
        metadata = one["metadata"]
        where = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
        return f"{self.admin.url}/apis/{one['apiVersion']}/{where}{RULES[one['kind']]}/{metadata['name']}"

    def start(self):
        """Start the operator."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        env = {"KUBECONFIG": str(self._kubeconfig), "HTTP_PORT": str(self.port), "LISTEN_HOST": "127.0.0.1"}
        self.process = Program(user_environment() | self._env | env, self._log)
        return self

    def stop(self):
        """Stop the operator, and give what it ended with."""
        if self.process is None:
            return None
        if self.process.is_running:
            self.process.terminate()
        code, self.process = self.process.wait(30), None
        return code

    def ends(self, seconds=30):
        """Wait until the operator ends by itself; give its exit code and the last thing that it said."""
        code, self.process = self.process.wait(seconds), None
        return code, self._log.read_text()

    def close(self):
        """End everything."""
        self.stop()
        self.shop.close()

    def is_ready(self):
        """Return whether the operator watches."""
        with suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{self.port}/ready", timeout=5).ok
        return False

    def metric(self, line):
        """Give a sample of its metrics; 0 for one that is not there."""
        page = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        found = [one.split()[-1] for one in page.splitlines() if one.startswith(f"{line} ")]
        return float(found[0]) if found else 0.0
