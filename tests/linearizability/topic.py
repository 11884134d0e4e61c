"""How far a consumer group has come in the topic of checkouts."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

TOPIC = "checkout-events"


async def behind(servers: str, group: str) -> int:
    """Return how many messages of the topic the group has not committed."""
    admin, reader = AIOKafkaAdminClient(bootstrap_servers=servers), AIOKafkaConsumer(bootstrap_servers=servers)
    await admin.start()
    await reader.start()
    try:
        await reader.topics()  # reads the metadata of all of them
        partitions = [TopicPartition(TOPIC, number) for number in reader.partitions_for_topic(TOPIC) or ()]
        ends = await reader.end_offsets(partitions)
        committed = await admin.list_consumer_group_offsets(group)
        return sum(end - (committed[one].offset if one in committed else 0) for one, end in ends.items())
    finally:
        await reader.stop()
        await admin.close()


def wait_until_applied(servers: str, group: str, seconds: float = 60.0) -> None:
    """Wait until the group has applied the whole topic; TimeoutError where it does not."""

    async def wait() -> None:
        async with asyncio.timeout(seconds):
            while await behind(servers, group):  # noqa: ASYNC110 - the broker's state
                await asyncio.sleep(0.2)

    asyncio.run(wait())
