"""Makes the services use the simulation's time, ids and chance while a schedule runs, and puts everything back afterwards.

Only names inside modules are replaced: no module of the services knows of it.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import checkout_operator.event_recorder
import checkout_operator.mirrors
import checkout_operator.pending
import checkout_operator.projector
import checkout_operator.reconciler
import checkout_operator.saga_client
import checkout_operator.writes
import services.cart.cache
import services.cart.domain
import services.chassis.batch
import services.chassis.call
import services.chassis.client
import services.chassis.consumer
import services.chassis.kafka
import services.chassis.partition
import services.chassis.resilience
import services.chassis.rpc
import services.checkout.changes
from tests.simulation.kafka import SimConsumer, SimProducer
from tests.simulation.redis import SimPipeline

POLL_MS = 20_000
"""How long a consumer waits for messages in one request; a short time would only cost turns of the loop."""
LOOK_SECONDS = 0.6
"""How often the stream of changes looks at the database; more often would only cost turns of the loop too."""


def _ids(loop: Any) -> Iterator[str]:
    while True:
        yield f"{loop.next_serial():016x}"


@contextmanager
def virtual(world: Any) -> Iterator[None]:
    """Let the services run in a world."""
    loop = world.loop
    clock = SimpleNamespace(monotonic=loop.time, perf_counter=loop.time, time=loop.time)
    tokens = SimpleNamespace(token_hex=lambda size: f"{loop.next_serial():0{2 * size}x}")
    with ExitStack() as stack:
        for module in (
            services.chassis.batch,
            services.chassis.call,
            services.chassis.client,
            services.chassis.resilience,
            services.chassis.rpc,
            checkout_operator.event_recorder,
            checkout_operator.mirrors,
            checkout_operator.pending,
            checkout_operator.projector,
            checkout_operator.reconciler,
            checkout_operator.saga_client,
            checkout_operator.writes,
        ):
            stack.enter_context(patch.object(module, "time", clock))
        for module in (services.cart.cache, services.cart.domain):
            stack.enter_context(patch.object(module, "secrets", tokens))
        defaults = (None, loop.time)  # of CircuitBreaker's policy and clock, bound when the module was read
        stack.enter_context(patch.object(services.chassis.resilience.CircuitBreaker.__init__, "__defaults__", defaults))
        stack.enter_context(patch.object(services.chassis.call, "_ids", _ids(loop)))
        stack.enter_context(patch.object(services.chassis.partition, "POLL_MS", POLL_MS))
        stack.enter_context(patch.object(services.checkout.changes, "LOOK_EVERY_SECONDS", LOOK_SECONDS))
        stack.enter_context(
            patch.object(
                services.cart.cache, "Pipeline", lambda _, *, within: SimPipeline(world, world.redis, within=within)
            )
        )
        stack.enter_context(
            patch.object(
                services.chassis.consumer,
                "AIOKafkaConsumer",
                lambda *, group_id, **_: SimConsumer(world.kafka, group_id=group_id),
            )
        )
        stack.enter_context(
            patch.object(services.chassis.kafka, "AIOKafkaProducer", lambda **_: SimProducer(world.kafka))
        )
        state = random.getstate()
        random.seed(world.seed)
        try:
            yield
        finally:
            random.setstate(state)
