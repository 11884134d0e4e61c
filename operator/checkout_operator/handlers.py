"""Every kopf decorator. kopf is the watch and nothing else: what it tells goes into the backlog, and it writes nothing."""

import itertools
from typing import Any

import kopf
import structlog

from checkout_operator.backlog import Backlog
from checkout_operator.cluster import GROUP, PLURAL, VERSION
from checkout_operator.live import Live
from checkout_operator.spec import InvalidSpec, parse

ASK_AGAIN_SECONDS = 2.0


def register(live: Live, backlog: Backlog, log: structlog.stdlib.BoundLogger) -> kopf.OperatorRegistry:
    """Give kopf what to call."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**words: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**words) or kopf.login_with_kubeconfig(**words)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def seen(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        try:
            resource = parse(dict(body))
        except InvalidSpec as error:
            log.warning("passed over", error=str(error))
            return
        if event["type"] == "DELETED":
            live.drop(resource)
            return
        live.put(resource)
        backlog.add(resource.name)

    return registry


def settings() -> kopf.OperatorSettings:
    """Give kopf's settings: a watch that notices when it has died, no scanning, no posting, no peering."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.watching.server_timeout = 240
    chosen.watching.client_timeout = 250
    chosen.watching.connect_timeout = 10
    chosen.watching.inactivity_timeout = 70
    chosen.networking.request_timeout = 15
    chosen.networking.error_backoffs = itertools.repeat(ASK_AGAIN_SECONDS)  # where they end, kopf ends the operator
    chosen.persistence.finalizer = "cartwright.dev/unused"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="cartwright.dev")
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="cartwright.dev")
    return chosen
