"""Every kopf decorator. kopf is the watch and nothing else: its events go into the work queue, and it writes nothing."""

import itertools
from typing import Any

import kopf
import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.cluster import GROUP, PLURAL, VERSION
from checkout_operator.spec import InvalidSpec, parse
from checkout_operator.workqueue import WorkQueue

RETRY_SECONDS = 2.0


def register(cache: ResourceCache, queue: WorkQueue, log: structlog.stdlib.BoundLogger) -> kopf.OperatorRegistry:
    """Return the handlers that kopf calls."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**options: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**options) or kopf.login_with_kubeconfig(**options)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def handle(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        try:
            resource = parse(dict(body))
        except InvalidSpec as error:
            log.warning("skipped a resource that is not valid", error=str(error))
            return
        if event["type"] == "DELETED":
            cache.remove(resource)
            return
        cache.put(resource)
        queue.add(resource.name)

    return registry


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: a watch that notices a dead connection, no scanning, no posting, no peering."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.watching.server_timeout = 240
    chosen.watching.client_timeout = 250
    chosen.watching.connect_timeout = 10
    chosen.watching.inactivity_timeout = 70
    chosen.networking.request_timeout = 15
    chosen.networking.error_backoffs = itertools.repeat(RETRY_SECONDS)  # where they end, kopf ends the operator
    chosen.persistence.finalizer = "cartwright.dev/unused"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="cartwright.dev")
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="cartwright.dev")
    return chosen
