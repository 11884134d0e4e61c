"""What Helm makes of a chart, read as Kubernetes reads it."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from devstack.home import user_environment
from tests.charts.cases import NAMESPACE, Case

KUBERNETES = "1.35.0"
COMPONENT = "app.kubernetes.io/component"
Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod that an object makes."""

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        """Its owner's name."""
        return f"{self.owner['kind']} {self.owner['metadata']['name']}"

    @property
    def component(self) -> str:
        """What it is to the platform."""
        return self.labels[COMPONENT]

    @property
    def sidecars(self) -> list[Object]:
        """Its workers: native sidecars."""
        return [one for one in self.spec.get("initContainers", ()) if one.get("restartPolicy") == "Always"]

    @property
    def containers(self) -> list[Object]:
        """All its containers."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def lasts(self) -> bool:
        """Whether it is to run for ever."""
        return self.owner["kind"] in {"Deployment", "StatefulSet"}


def helm_environment() -> dict[str, str]:
    """Give the environment of a helm that renders: it ends before its garbage is worth collecting, which is a third of its work."""
    return {**user_environment(), "GOGC": "off"}


class Rendering:
    """What `helm template` printed."""

    def __init__(self, helm: Path, chart: Path, case: Case) -> None:
        self.case = case
        files = [word for path in case.files for word in ("-f", str(path))]
        command = [str(helm), "template", case.release, str(chart), "-n", NAMESPACE, "--kube-version", KUBERNETES]
        values = json.dumps(case.values)
        self.done = subprocess.run(
            [*command, "-f", "-", *files],
            input=values,
            env=helm_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    @cached_property
    def objects(self) -> list[Object]:
        """Every object, as a list."""
        assert self.done.returncode == 0, self.done.stderr
        loaded = yaml.load_all(self.done.stdout, Loader=yaml.CSafeLoader)
        return [one for one in loaded if one]

    def of(self, *kinds: str) -> list[Object]:
        """Give the objects of these kinds."""
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str) -> dict[str, Object]:
        """Give the objects of a kind by name."""
        return {one["metadata"]["name"]: one for one in self.of(kind)}

    @cached_property
    def pods(self) -> list[Pod]:
        """Every pod that is made."""
        made = [Pod(one, one["metadata"]["labels"], one["spec"]) for one in self.of("Pod")]
        for one in self.of("Deployment", "StatefulSet", "Job"):
            template = one["spec"]["template"]
            made.append(Pod(one, template["metadata"]["labels"], template["spec"]))
        for one in self.of("CronJob"):
            template = one["spec"]["jobTemplate"]["spec"]["template"]
            made.append(Pod(one, template["metadata"]["labels"], template["spec"]))
        return made

    def pod(self, component: str) -> Pod:
        """Give the pod of a component."""
        return next(one for one in self.pods if one.component == component)

    @cached_property
    def platform(self) -> list[tuple[Pod, Object]]:
        """Every container of the platform's that is to run for ever, with its pod."""
        lasting = [pod for pod in self.pods if pod.lasts]
        return [(pod, one) for pod in lasting for one in [*pod.sidecars, *pod.spec["containers"]]]


def literals(container: Object) -> dict[str, str]:
    """Give the variables of a container that stand there in full."""
    return {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}


def strings(tree: Any) -> Iterator[str]:
    """Give every text in a tree."""
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield from (name, *strings(below))
    elif isinstance(tree, list):
        for below in tree:
            yield from strings(below)
    elif isinstance(tree, str):
        yield tree


def fits(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a selector of labels, and of labels alone, finds these."""
    assert set(selector) <= {"matchLabels"}, selector
    return selector.get("matchLabels", {}).items() <= labels.items()
