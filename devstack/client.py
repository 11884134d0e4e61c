"""Starts a stack and sends requests to its supervisor: what the command line and the tests use."""

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

from devstack import cluster, environment, fetch, own_stores, ports, settings, stores
from devstack.home import ROOT, Home, NotWritable, user_environment, write_secret
from devstack.process import last_lines
from devstack.table import PARTS, part

UP_SECONDS = 180.0
DOWN_SECONDS = 60.0
# Variables of the user's that would lead our processes astray.
ASTRAY = frozenset({"GRPC_PORT", "HTTP_PORT", "PYTHONPATH"})


class StackError(Exception):
    """The stack is not as it should be; `str()` says how and what to do."""


FAILURES = (
    StackError,
    NotWritable,
    cluster.ClusterError,
    fetch.CannotFetch,
    own_stores.OwnStoreError,
    ports.PortTaken,
    settings.WrongSettings,
    stores.CannotStart,
)
"""What can be wrong with a machine or its settings; `str()` of each is for the person at the terminal."""


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
        wrapper: str = "",
    ) -> Self:
        """Start a stack for as long as this process lives, with stores and a cluster of its own; wait until it is ready.

        `wrapper` is a module that runs each process of ours: it gets the process's module and role as its arguments.
        """
        stack = cls(Home(home.resolve()))
        theirs = {*environment.STORE_URLS, "CLUSTER"}
        user = {name: value for name, value in user_environment().items() if name not in theirs}
        stack.launch({**user, **(env or {})}, only=only, free=free_ports, while_pid=os.getpid(), wrapper=wrapper)
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
        wrapper: str = "",
    ) -> None:
        """Fetch what is missing and start the supervisor; an error of FAILURES says what is wrong before anything runs."""
        self.home.make()
        self.end_orphans()
        chosen = ports.choose(self.home, env, free=free)
        env = self.read_settings(env, chosen, say)
        wanted = [one for one in PARTS.values() if only is None or one.name in only]
        own_cluster = cluster.is_own(env) and any(one.name == "apiserver" for one in wanted)
        if own_cluster:  # no API server is started here
            env["KUBECONFIG"] = cluster.kubeconfig_of(env)
        parts = [one for one in wanted if not own_stores.is_own(one, env)]
        settings.check(parts, self.home, chosen, env)
        ports.check(parts, chosen)
        own_stores.check((one for one in wanted if one.is_store), env, say)
        own = cluster.choose_own(env, self.home, say) if own_cluster else None
        stores.find({part.name for part in parts if part.is_store}, env, say)
        if own:
            cluster.prepare_own(*own, say)
            env |= {"KUBECONFIG": own[1].kubeconfig, "NAMESPACE": own[0].namespace}
        plan = {
            "home": str(self.home.path),
            "ports": chosen,
            "env": env,
            "parts": [part.name for part in parts],
            "while_pid": while_pid,
            "wrapper": [wrapper] if wrapper else [],
            "own_cluster": own[0].as_dict() if own else None,
        }
        with self.home.writing():
            write_secret(self.home.plan, json.dumps(plan))
            with self.home.log("supervisor").open("ab") as log:
                self._supervisor = subprocess.Popen(
                    [sys.executable, "-m", "devstack.supervisor", str(self.home.plan)],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def read_settings(
        self, user: Mapping[str, str], chosen: Mapping[str, int], say: Callable[[str], None] = lambda _: None
    ) -> dict[str, str]:
        """Return what of the user's environment counts, and say what does not.

        URLs that `make env` has printed are no stores of the user's own, and without CLUSTER=mine neither is KUBECONFIG.
        """
        env = {name: value for name, value in user.items() if name not in ASTRAY}
        env = environment.without_printed(self.home, chosen, env)
        printed = [name for name in environment.STORE_URLS if name in user and name not in env]
        other = user.get(environment.PRINTED_BY, "")
        if printed and other not in {"", str(self.home.path)}:
            say(f"{', '.join(printed)} come from make env of {other}, and are not used here.")
        if cluster.is_own(env):
            return env | {"KUBECONFIG": user.get("KUBECONFIG", "")}
        if env.pop("KUBECONFIG", ""):
            say(
                f"KUBECONFIG is set, but not used: an API server runs here. CLUSTER={cluster.MINE} make up uses that cluster."
            )
        return env

    def request(self, verb: str, **more: Any) -> dict[str, Any]:
        """Send a request to the supervisor and return its answer; StackError where it is away or refuses."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(DOWN_SECONDS)
                line.connect(str(self.home.socket))
                line.sendall(json.dumps({"verb": verb, **more}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(line.makefile().readline() or "{}")
        except OSError as error:
            raise StackError(f"the platform of {self.home.shown} is not running; start it with: make up") from error
        if answer.get("error") and verb != "status":
            raise StackError(str(answer["error"]))
        return answer

    def is_running(self) -> bool:
        """Return whether a supervisor answers."""
        try:
            self.request("status")
        except StackError:
            return False
        return True

    def rows(self) -> list[dict[str, Any]]:
        """Return the state of each part."""
        rows: list[dict[str, Any]] = self.request("status")["parts"]
        return rows

    def row(self, name: str) -> dict[str, Any]:
        """Return the state of one part; UnknownPart names the parts."""
        return next(row for row in self.rows() if row["name"] == part(name).name)

    def pid(self, name: str) -> int:
        """Return the process id of a part; 0 while it does not run."""
        return int(self.row(name)["pid"])

    def env(self) -> dict[str, str]:
        """Return the URLs of the stack."""
        status = self.request("status")
        return environment.exports(self.home, status["ports"], status["env"])

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment that a part runs in."""
        status = self.request("status")
        return environment.for_part(part(name), self.home, status["ports"], status["env"])

    def own_cluster(self) -> cluster.Context | None:
        """Return the user's own cluster that the stack works with, or None where it has an API server of its own."""
        found = self.request("status").get("own_cluster")
        return cluster.Context(**found) if found else None

    def changed_settings(self, user: Mapping[str, str]) -> list[str]:
        """Return the names of the settings that the running stack was started without, or with other values."""
        status = self.request("status")
        return settings.changed(status["env"], self.read_settings(user, status["ports"]))

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a part, and return the process id that got it."""
        pid = self.pid(name)
        if pid:
            os.killpg(pid, number)
        return pid

    def stop(self, name: str) -> None:
        """Stop a part, and keep it stopped."""
        self.request("stop", part=name)

    def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start a part that was stopped; `env` adds to its environment from now on."""
        self.request("start", part=name, env=None if env is None else dict(env))

    def wait_ready(
        self, *names: str, timeout: float = UP_SECONDS, watch: Callable[[list[dict[str, Any]]], None] | None = None
    ) -> None:
        """Wait until the named parts, or all, are ready; StackError says which are not, and why."""
        ends_at = time.monotonic() + timeout
        waiting: list[str] = ["the supervisor"]
        while time.monotonic() < ends_at:
            try:
                status = self.request("status")
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
            self.request("down")
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
        """End what an earlier supervisor left behind. A process is known by its number and its start together."""
        if not self.home.state.exists() or self.is_running():
            return
        known = json.loads(self.home.state.read_text())
        if known.pop("home", str(self.home.path)) != str(self.home.path):
            self.home.state.unlink()  # this folder is a copy: the processes are those of the folder it was copied from
            return
        alive = []
        for name, (pid, born) in known.items():
            if process := _same_process(int(pid), born):
                process.send_signal(stores.stop_signal(name))
                alive.append(process)
        _, left = psutil.wait_procs(alive, timeout=10)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=5)
        self.home.state.unlink(missing_ok=True)

    def _tail(self, name: str, what: str) -> str:
        log = self.home.log(name)
        return f"{name} {what}; see {log}\n{last_lines(log)}".rstrip()


def _same_process(pid: int, born: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - born) < 1 else None
    except psutil.NoSuchProcess:
        return None
