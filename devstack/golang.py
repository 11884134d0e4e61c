"""Builds the programs of Kubernetes, Prometheus and Jaeger that a machine lacks: no package registry has them ready, but all have their source."""

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack import fetch, network

VERSION = "1.35.4"
NEEDED_GO = (1, 26)
SAID_EVERY = 20.0  # seconds between lines that say that it still builds

_MAJOR, _MINOR, _ = VERSION.split(".")
_STAMPS = {
    "k8s.io/component-base/version.gitVersion": f"v{VERSION}",
    "k8s.io/component-base/version.gitMajor": _MAJOR,
    "k8s.io/component-base/version.gitMinor": _MINOR,
    "k8s.io/client-go/pkg/version.gitVersion": f"v{VERSION}",
    # Which cluster helm takes a chart to be for, where it does not ask one.
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": _MAJOR,
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": _MINOR,
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": _MAJOR,
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": _MINOR,
}


@dataclass(frozen=True, slots=True)
class Source:
    """What a program is built from."""

    modules: str
    package: str
    takes: str
    """How long the build takes on two cores when nothing of it is built yet: idle cores at best, busy ones at worst."""
    tags: str = ""
    """What to build, and what to leave out, in the source's own words."""


_NO_CLOUDS = "remove_all_sd"
SOURCES = {
    "etcd": Source("etcd", "go.etcd.io/etcd/server/v3", "1 to 3 minutes"),
    "helm": Source("helm", "helm.sh/helm/v3/cmd/helm", "2 to 5 minutes"),
    "kube-apiserver": Source("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "4 to 10 minutes"),
    "jaeger": Source("jaeger", "github.com/jaegertracing/jaeger/cmd/jaeger", "7 to 20 minutes"),
    # Without the discovery of clouds: what is scraped here stands in a file.
    "prometheus": Source("prometheus", "github.com/prometheus/prometheus/cmd/prometheus", "2 to 5 minutes", _NO_CLOUDS),
    "promtool": Source("prometheus", "github.com/prometheus/prometheus/cmd/promtool", "2 to 5 minutes", _NO_CLOUDS),
    "kubectl": Source("kubernetes", "k8s.io/kubernetes/cmd/kubectl", "up to 3 minutes"),
}


def program(name: str, env: Mapping[str, str], say: fetch.Say) -> Path:
    """Return the program that is built from `devstack/tools`; build it where it is missing."""
    source = SOURCES[name]
    modules = fetch.TOOLS / source.modules
    target = fetch.place(f"{name}-{VERSION}" if source.modules == "kubernetes" else name, modules / "go.sum", env)
    if not target.exists():

        def build(folder: Path) -> None:
            go, settings = _go(env, say)
            say(f"building {name} from source ({source.takes}, this once)")
            started = time.monotonic()
            _build(name, go, folder / name, {**env, **settings}, say)
            say(f"built {name} in {_spoken(time.monotonic() - started)}.")

        fetch.into(target, build, say)
    return target / name


def _build(name: str, go: Path, output: Path, env: Mapping[str, str], say: fetch.Say) -> None:
    source = SOURCES[name]
    stamps = " ".join(f"-X {variable}={value}" for variable, value in _STAMPS.items())
    command = [str(go), "build", "-mod=readonly", "-trimpath", "-ldflags", f"-s -w {stamps}", "-o", str(output)]
    command += ["-tags", source.tags] if source.tags else []
    # What a user has set for Go programs of their own would build another program, or none. The modules stay writable,
    # so that the cache can be deleted as any folder.
    theirs = {"GOFLAGS", "GOOS", "GOARCH", "GOWORK", "GOEXPERIMENT"}
    plain = {variable: value for variable, value in env.items() if variable not in theirs}
    plain |= {"CGO_ENABLED": "0", "GOFLAGS": "-modcacherw", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    started = time.monotonic()
    with (
        output.with_suffix(".log").open("w+") as log,
        subprocess.Popen(
            [*command, source.package], cwd=fetch.TOOLS / source.modules, env=plain, stdout=log, stderr=log
        ) as build,
    ):
        try:
            while True:
                try:
                    build.wait(SAID_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    say(f"still building {name}: {_spoken(time.monotonic() - started)} so far; usually {source.takes}")
        except BaseException:
            build.kill()
            raise
        log.seek(0)
        said = "".join(line for line in log if not line.startswith("go: downloading"))
    if build.returncode:
        raise fetch.CannotFetch(f"{name} could not be built: {network.reason(said)}")
    output.with_suffix(".log").unlink()


def _go(env: Mapping[str, str], say: fetch.Say) -> tuple[Path, dict[str, str]]:
    """Return a Go toolchain that is new enough, and its settings: ours leaves nothing outside our cache."""
    found = fetch.on_path("go", env)
    if found:
        shown = subprocess.run(
            [str(found), "env", "GOVERSION"],
            env=dict(env) | {"GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            check=False,
        )
        version = re.match(r"go(\d+)\.(\d+)", shown.stdout)
        if version and (int(version[1]), int(version[2])) >= NEEDED_GO:
            return found, {}
    root = fetch.tool("go", env, say) / "go"
    work = fetch.cache_folder(env) / "go-work"
    ours = {"GOROOT": str(root), "GOPATH": str(work / "path"), "GOMODCACHE": "", "GOCACHE": str(work / "cache")}
    return root / "bin" / "go", ours


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
