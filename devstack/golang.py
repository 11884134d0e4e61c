"""Builds the programs of Kubernetes and Prometheus that a machine lacks: no package registry has them ready, but all have their source."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack import fetch, network, progress
from devstack.progress import Done, Say

VERSION = "1.35.4"
NEEDED_GO = (1, 26)

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


_DOWNLOADING = "go: downloading "
_STALE = "stale: "
"""Stands before each package that Go would have to compile."""
_PACKAGE = re.compile(r"[\w./~+-]+")
"""A line of Go's that is a package and nothing else."""
_NO_CLOUDS = "remove_all_sd"
SOURCES = {
    "etcd": Source("etcd", "go.etcd.io/etcd/server/v3", "1 to 3 minutes"),
    "helm": Source("helm", "helm.sh/helm/v3/cmd/helm", "2 to 5 minutes"),
    "kube-apiserver": Source("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "4 to 10 minutes"),
    # Without the discovery of clouds: what is scraped here stands in a file.
    "prometheus": Source("prometheus", "github.com/prometheus/prometheus/cmd/prometheus", "2 to 5 minutes", _NO_CLOUDS),
    "promtool": Source("prometheus", "github.com/prometheus/prometheus/cmd/promtool", "2 to 5 minutes", _NO_CLOUDS),
    "kubectl": Source("kubernetes", "k8s.io/kubernetes/cmd/kubectl", "up to 3 minutes"),
}


def program(name: str, env: Mapping[str, str], say: Say) -> Path:
    """Return the program that is built from `devstack/tools`; build it where it is missing."""
    source = SOURCES[name]
    modules = fetch.TOOLS / source.modules
    target = fetch.place(f"{name}-{VERSION}" if source.modules == "kubernetes" else name, modules / "go.sum", env)
    if not target.exists():

        def build(folder: Path) -> None:
            go, settings = toolchain(env, say)
            with progress.step(say, name, "building", source.takes) as at:
                _build(name, go, folder / name, {**env, **settings}, at)

        fetch.into(target, build, say)
    return target / name


def _build(name: str, go: Path, output: Path, env: Mapping[str, str], at: Callable[[Done], None]) -> None:
    source = SOURCES[name]
    stamps = " ".join(f"-X {variable}={value}" for variable, value in _STAMPS.items())
    flags = [
        "-mod=readonly",
        "-trimpath",
        "-ldflags",
        f"-s -w {stamps}",
        *(["-tags", source.tags] if source.tags else []),
    ]
    plain = environment(env)
    folder = fetch.TOOLS / source.modules
    modules = sum("/go.mod " not in line for line in (folder / "go.sum").read_text().splitlines())
    listed = [str(go), "list", *flags, "-deps", "-f", f"{{{{if .Stale}}}}{_STALE}{{{{.ImportPath}}}}{{{{end}}}}"]
    code, said = progress.run(
        [*listed, source.package], plain, lambda said: at(_downloaded(said, modules)), folder=folder
    )
    if not code:
        stale = said.count(_STALE)
        code, said = progress.run(
            [str(go), "build", *flags, "-v", "-o", str(output), source.package],
            plain,
            lambda said: at(_compiled(said, stale)),
            folder=folder,
        )
    if code:
        told = [
            line for line in said.splitlines() if not line.startswith(_DOWNLOADING) and not _PACKAGE.fullmatch(line)
        ]
        raise fetch.CannotFetch(f"{name} could not be built: {network.reason(chr(10).join(told))}")


def _downloaded(said: str, modules: int) -> Done:
    """Return how far Go is with the modules: it names each as it begins with it. `modules`: how many there may be."""
    named = [line.removeprefix(_DOWNLOADING) for line in said.splitlines() if line.startswith(_DOWNLOADING)]
    return (
        Done(len(named), modules, "modules", named[-1].split()[0]) if named else Done(detail="looking at the modules")
    )


def _compiled(said: str, stale: int) -> Done:
    """Return how far the compiler is: it names each package as it is done with. `stale`: how many are not compiled yet."""
    named = [line for line in said.splitlines() if _PACKAGE.fullmatch(line)]
    if named and len(named) >= stale:
        return Done(len(named), len(named), "packages", "linking")
    return Done(len(named), stale, "packages", named[-1] if named else "")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a build. What a user has set for Go programs of their own would build another one, or none.

    The modules stay writable, so that the cache can be deleted as any folder.
    """
    theirs = {"GOFLAGS", "GOOS", "GOARCH", "GOWORK", "GOEXPERIMENT"}
    plain = {variable: value for variable, value in env.items() if variable not in theirs}
    return plain | {"CGO_ENABLED": "0", "GOFLAGS": "-modcacherw", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def toolchain(env: Mapping[str, str], say: Say) -> tuple[Path, dict[str, str]]:
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
