"""The images of a cluster: ours, which are built here, and those of the stores, where this machine has them."""

import hashlib

from devstack.kind.cluster import Cluster
from devstack.kind.programs import Programs

REPOSITORY = "ghcr.io/cartwright"
TARGETS = ("services", "operator")
STORES = ("postgres:17", "mongo:8", "redis:8", "apache/kafka:4.1.0")


def build(programs: Programs) -> str:
    """Build our images and return their tag, which changes with their content, so that new content makes new pods."""
    found = [programs.run("docker", "build", "-q", "--target", target, ".").split()[-1] for target in TARGETS]
    tag = f"dev-{hashlib.sha256(''.join(found).encode()).hexdigest()[:12]}"
    for target, image in zip(TARGETS, found, strict=True):
        programs.run("docker", "tag", image, name(target, tag))
    return tag


def name(target: str, tag: str) -> str:
    """Return the full name of one of our images."""
    return f"{REPOSITORY}/{target}:{tag}"


def to_load(cluster: Cluster, tag: str) -> list[str]:
    """Return the images that this machine has and the node lacks. The node pulls the others itself."""
    every = (*(name(target, tag) for target in TARGETS), *STORES)
    here = [image for image in every if not cluster.programs.code("docker", "image", "inspect", image)]
    return [image for image in here if not cluster.has(image)]
