"""The daemon behind `make up`: starts the parts in order, watches them, and answers requests on a socket.

Run as `python -m devstack.supervisor <plan>`, where the plan is a JSON file that `devstack.client` writes.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from devstack import apiserver, environment, stores
from devstack.cluster import Cluster, ClusterError
from devstack.home import ROOT, Home
from devstack.ports import HOST, hold
from devstack.probes import listens, serves
from devstack.process import EXIT_USAGE, Watched, last_lines
from devstack.table import PARTS, Part, part

MIGRATION_TRIES = 5


class Supervisor:
    """Keeps one stack running."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.home = Home(Path(plan["home"]))
        self.ports: dict[str, int] = plan["ports"]
        self.env: dict[str, str] = plan["env"]
        self.wrapper: list[str] = plan.get("wrapper", [])
        self.overrides: dict[str, dict[str, str]] = {}
        self.parts = [PARTS[name] for name in plan["parts"]]
        self.programs = stores.find({part.name for part in self.parts if part.is_store}, self.env, print)
        self.watched = {part.name: self._watched(part) for part in self.parts}
        self.error: str | None = None
        self.ended = asyncio.Event()
        self.while_pid: int = plan["while_pid"]
        self.own_cluster: dict[str, str] | None = plan["own_cluster"]

    async def run(self) -> None:
        """Serve until a signal or a request ends it, then stop everything."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        self.home.socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(self.home.socket))
        self.home.socket.chmod(0o600)
        held = hold(self.ports[variable] for one in self.parts for variable, _ in one.ports)
        tasks = [asyncio.create_task(self._start_all()), asyncio.create_task(self._keep_state())]
        await self.ended.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stop_all()
        for port in held:
            port.close()
        server.close()
        self.home.socket.unlink(missing_ok=True)
        self.home.state.unlink(missing_ok=True)

    def _watched(self, one: Part) -> Watched:
        log = self.home.log(one.name)
        port = self.ports[one.ports[-1][0] if not one.is_store else one.ports[0][0]]
        if one.is_store:
            return Watched(
                one.name,
                lambda: stores.start(one.name, self.programs, self.home, self.ports),
                lambda: self._is_ready(one.name, port),
                log,
                self._write_state,
                stores.stop_signal(one.name),
                self._prepare_cluster if one.name == "apiserver" else None,
            )
        return Watched(one.name, lambda: self._our_process(one), lambda: serves(HOST, port), log, self._write_state)

    async def _is_ready(self, store: str, port: int) -> bool:
        if store == "etcd":
            return await serves(HOST, port, "/health")
        if store == "apiserver":
            return await apiserver.ready(self.home, port)
        return await listens(HOST, port)

    async def _prepare_cluster(self) -> None:
        assert self.programs.cluster  # noqa: S101 - found, or it would not run
        apiserver.write_kubeconfigs(self.home, self.ports["APISERVER_PORT"])
        ours = Cluster(self.programs.cluster.kubectl, str(self.home.kubeconfig), self.home, self.env)
        for attempt in range(MIGRATION_TRIES):
            try:
                return await asyncio.to_thread(ours.prepare, role=True)
            except ClusterError as error:
                last = error
            await asyncio.sleep(0.5 * (attempt + 1))
        raise stores.CannotStart(str(last))

    def _our_process(self, one: Part, role: str | None = None) -> stores.Start:
        env = environment.for_part(one, self.home, self.ports, self.env) | self.overrides.get(one.name, {})
        words = [word for word in (*self.wrapper, one.module, role or one.role) if word]
        return stores.Start([sys.executable, "-m", *words], env=env)

    async def _start_all(self) -> None:
        migrated = {one.name: asyncio.Event() for one in self.parts if one.migrates}
        try:
            async with asyncio.TaskGroup() as group:
                for one in self.parts:
                    group.create_task(self._start_one(one, migrated))
        except* (stores.CannotStart, OSError) as errors:
            self.error = "\n".join(str(error) for error in errors.exceptions)

    async def _start_one(self, one: Part, migrated: dict[str, asyncio.Event]) -> None:
        for need in one.needs:
            if need in self.watched:
                await self.watched[need].ready()
        if one.migrates:
            await self._migrate(one)
            migrated[one.name].set()
        elif one.after in migrated:
            await migrated[one.after].wait()
        self.watched[one.name].run()

    async def _migrate(self, one: Part) -> None:
        how = self._our_process(one, "migrate")
        log = self.home.log(one.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.watched[one.name].state = "migrating"
        for attempt in range(MIGRATION_TRIES):
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *how.command, stdout=output, stderr=output, env=how.env, start_new_session=True
                )
            try:
                if (code := await process.wait()) == 0:
                    return
            finally:
                if process.returncode is None:
                    process.kill()
            if code == EXIT_USAGE:
                raise stores.CannotStart(f"{one.name} refuses its settings:\n{last_lines(log)}")
            await asyncio.sleep(0.5 * (attempt + 1))
        raise stores.CannotStart(f"the migration of {one.name} fails; see {log}\n{last_lines(log)}")

    async def _stop_all(self) -> None:
        ours = [watched for name, watched in self.watched.items() if not PARTS[name].is_store]
        theirs = [watched for name, watched in self.watched.items() if PARTS[name].is_store and PARTS[name].needs]
        last = [watched for name, watched in self.watched.items() if PARTS[name].is_store and not PARTS[name].needs]
        for group in (ours, theirs, last):  # what needs another ends before it
            await asyncio.gather(*(watched.stop() for watched in group))

    async def _keep_state(self) -> None:
        """Keep the state file up to date, and end when the process that started this stack for itself has ended."""
        while True:
            self._write_state()
            if self.while_pid and not psutil.pid_exists(self.while_pid):
                self.ended.set()
            await asyncio.sleep(0.5)

    def _write_state(self) -> None:
        """Write down which processes run, so that a later `up` or `down` can end orphans."""
        written: dict[str, Any] = {"home": str(self.home.path), "supervisor": _identity(os.getpid())}
        written |= {name: _identity(watched.pid) for name, watched in self.watched.items() if watched.pid}
        scratch = self.home.state.with_suffix(".new")
        scratch.write_text(json.dumps(written))
        scratch.replace(self.home.state)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(json.loads(await reader.readline()))
        except (KeyError, ValueError, OSError) as error:
            answer = {"error": str(error)}
        with contextlib.suppress(OSError):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verb = request["verb"]
        if verb == "status":
            failed = "\n".join(watched.error for watched in self.watched.values() if watched.error)
            return {
                "error": self.error or failed,
                "ports": self.ports,
                "env": self.env,
                "own_cluster": self.own_cluster,
                "parts": self._rows(),
            }
        if verb == "down":
            self.ended.set()
            return {"error": ""}
        watched = self.watched.get(part(request["part"]).name)
        if watched is None:
            raise ValueError(f"{request['part']} is not part of this stack")
        if verb in {"stop", "restart"}:
            await watched.stop()
        if verb in {"start", "restart"}:
            if request.get("env") is not None:
                self.overrides[watched.name] = request["env"]
            watched.run()
        return {"error": ""}

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "state": watched.state,
                "pid": watched.pid,
                "restarts": watched.restarts,
                "failures": watched.failures,
                "ports": [self.ports[variable] for variable, _ in PARTS[name].ports],
                "seconds": round(time.time() - watched.started_at) if watched.pid else 0,
            }
            for name, watched in self.watched.items()
        ]


def _identity(pid: int) -> list[float]:
    """Return the number of a process and when it began: the number alone may be given to another process later."""
    try:
        return [pid, psutil.Process(pid).create_time()]
    except psutil.NoSuchProcess:
        return [pid, 0.0]


def main() -> None:
    """Run the supervisor of the plan that the command line names."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    os.chdir(ROOT)
    asyncio.run(Supervisor(plan).run())


if __name__ == "__main__":
    main()
