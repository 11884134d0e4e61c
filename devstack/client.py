"""Starts a stack and gives it orders: what the command line and the tests use."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from devstack import apiserver, environment, ports, stores
from devstack.cluster import Cluster, ClusterError
from devstack.home import ROOT, Home, user_environment
from devstack.table import PARTS, STORES, Part, part

UP_SECONDS = 180.0
DOWN_SECONDS = 60.0


class StackError(Exception):
    """The stack is not as it should be; `str()` says how and what to do."""


class Stack:
    """A running stack."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._supervisor: subprocess.Popen[bytes] | None = None

    @classmethod
    def up(
        cls,
        home: Path,
        *,
        only: Collection[str] | None = None,
        env: Mapping[str, str] | None = None,
        free_ports: bool = True,
        wait: bool = True,
    ) -> Self:
        """Start a stack for as long as this process lives, with stores of its own, and wait until it is ready."""
        stack = cls(Home(home.resolve()))
        user = {name: value for name, value in user_environment().items() if name not in environment.STORE_URLS}
        stack.launch({**user, **(env or {})}, only=only, free=free_ports, while_pid=os.getpid())
        if wait:
            stack.wait_ready()
        return stack

    def launch(
        self,
        env: dict[str, str],
        *,
        only: Collection[str] | None = None,
        free: bool = False,
        while_pid: int = 0,
        say: Callable[[str], None] = print,
    ) -> None:
        """Fetch what is missing and start the supervisor; PortTaken, CannotFetch or CannotStart before anything runs."""
        chosen = ports.choose(self.home, env, free=free)
        env = environment.without_ours(self.home, chosen, env)
        parts = [one for one in PARTS.values() if (only is None or one.name in only) and not _is_the_users(one, env)]
        self.end_orphans()
        stores.find({part.name for part in parts if part.is_store}, env, say)
        ports.check(parts, chosen)
        _check_own_stores(env, only)
        if env.get("KUBECONFIG") and (only is None or "apiserver" in only):
            _prepare_own_cluster(Cluster(apiserver.kubectl(env, say), env["KUBECONFIG"], self.home, env), say)
        self.home.path.mkdir(parents=True, exist_ok=True)
        self.home.path.joinpath("logs").mkdir(exist_ok=True)
        plan = self.home.path / "plan.json"
        plan.touch(mode=0o600)
        names = [part.name for part in parts]
        plan.write_text(
            json.dumps(
                {"home": str(self.home.path), "ports": chosen, "env": env, "parts": names, "while_pid": while_pid}
            )
        )
        with self.home.log("supervisor").open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "devstack.supervisor", str(plan)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def order(self, verb: str, **more: Any) -> dict[str, Any]:
        """Give an order and return the answer; StackError where the supervisor is away or refuses."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(DOWN_SECONDS)
                line.connect(str(self.home.socket))
                line.sendall(json.dumps({"verb": verb, **more}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(line.makefile().readline() or "{}")
        except OSError as error:
            raise StackError("it is not running; start it with: make up") from error
        if answer.get("error") and verb != "status":
            raise StackError(str(answer["error"]))
        return answer

    def is_running(self) -> bool:
        """Whether a supervisor answers."""
        try:
            self.order("status")
        except StackError:
            return False
        return True

    def rows(self) -> list[dict[str, Any]]:
        """Give how each part is."""
        rows: list[dict[str, Any]] = self.order("status")["parts"]
        return rows

    def row(self, name: str) -> dict[str, Any]:
        """Give how one part is; UnknownPart names the parts."""
        return next(row for row in self.rows() if row["name"] == part(name).name)

    def pid(self, name: str) -> int:
        """Give the process id of a part; 0 while it does not run."""
        return int(self.row(name)["pid"])

    def env(self) -> dict[str, str]:
        """Give the URLs of the stack."""
        status = self.order("status")
        return environment.exports(self.home, status["ports"], status["env"])

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a part, and give the process id that had it."""
        pid = self.pid(name)
        if pid:
            os.killpg(pid, number)
        return pid

    def stop(self, name: str) -> None:
        """Stop a part, and keep it stopped."""
        self.order("stop", part=name)

    def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start a part that was stopped; `env` adds to its environment from now on."""
        self.order("start", part=name, env=None if env is None else dict(env))

    def wait_ready(
        self, *names: str, timeout: float = UP_SECONDS, watch: Callable[[list[dict[str, Any]]], None] | None = None
    ) -> None:
        """Wait until the named parts, or all, are ready; StackError says which are not, and why."""
        ends_at = time.monotonic() + timeout
        waiting: list[str] = ["the supervisor"]
        while time.monotonic() < ends_at:
            try:
                status = self.order("status")
            except StackError:
                time.sleep(0.1)
                continue
            if status["error"]:
                raise StackError(status["error"])
            if watch:
                watch(status["parts"])
            rows = [row for row in status["parts"] if not names or row["name"] in names]
            waiting = [row["name"] for row in rows if row["state"] != "ready"]
            if not waiting:
                return
            if failing := next((row for row in rows if row["failures"] >= 3), None):  # noqa: PLR2004 - no accident any more
                raise StackError(self._tail(failing["name"], "does not stay up"))
            time.sleep(0.1)
        first = waiting[0] if waiting[0] in PARTS else "supervisor"
        raise StackError(self._tail(first, f"is not ready after {timeout:.0f} s"))

    def down(self) -> None:
        """End the stack; nothing of it is left."""
        try:
            self.order("down")
        except StackError:
            if self._supervisor is not None:  # it does not listen yet, or not any more
                self._supervisor.terminate()
                self._supervisor.wait(timeout=DOWN_SECONDS)
            self.end_orphans()
            return
        ends_at = time.monotonic() + DOWN_SECONDS
        while time.monotonic() < ends_at and self.home.state.exists():
            time.sleep(0.05)
        if self._supervisor is not None:
            self._supervisor.wait(timeout=10)
        self.end_orphans()

    def end_orphans(self) -> None:
        """End what an earlier supervisor left behind. A process is known by its number and its start, never a stranger's."""
        if not self.home.state.exists() or self.is_running():
            return
        known = json.loads(self.home.state.read_text())
        alive = []
        for name, (pid, born) in known.items():
            if process := _same_process(int(pid), born):
                process.send_signal(stores.farewell(name))
                alive.append(process)
        _, left = psutil.wait_procs(alive, timeout=10)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=5)
        self.home.state.unlink(missing_ok=True)

    def _tail(self, name: str, what: str) -> str:
        log = self.home.log(name)
        lines = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
        return "\n".join([f"{name} {what}; see {log}", *lines])


def _same_process(pid: int, born: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - born) < 1 else None
    except psutil.NoSuchProcess:
        return None


def _is_the_users(one: Part, env: Mapping[str, str]) -> bool:
    """Whether every database of a store is one of the user's own, so that none has to be started."""
    return bool(one.urls) and all(env.get(variable) for variable in one.urls)


def _check_own_stores(env: Mapping[str, str], only: Collection[str] | None) -> None:
    """Say so at once when a store of the user's own does not answer."""
    for one in (PARTS[name] for name in STORES):
        for variable in one.urls:
            url = env.get(variable, "")
            if not url or variable == "KUBECONFIG" or (only is not None and one.name not in only):
                continue
            host, port = _address(url, one)
            try:
                socket.create_connection((host, port), timeout=3).close()
            except OSError as error:
                raise StackError(f"{variable} is set, but nothing answers at {host}:{port} ({error})") from error


def _prepare_own_cluster(cluster: Cluster, say: Callable[[str], None]) -> None:
    """Bring a cluster of the user's own up to date, as a database of their own; what is changed there is said."""
    try:
        say(f"KUBECONFIG is set: putting the Checkout resource into the cluster at {cluster.check()}")
        cluster.prepare(role=False)
    except ClusterError as error:
        raise StackError(f"KUBECONFIG is set, but {error}; unset it to have an API server started here") from error


def _address(url: str, one: Part) -> tuple[str, int]:
    authority = url.rpartition("://")[2].split("/")[0].rpartition("@")[2].split(",")[0]
    host, _, port = authority.partition(":")
    return host or "127.0.0.1", int(port or one.ports[0][1])
