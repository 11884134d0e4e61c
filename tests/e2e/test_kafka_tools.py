"""Kafka's commands on a running platform, as a person has them after `eval "$(make -s env)"`."""

import subprocess

import pytest

from devstack import kafka_tools


@pytest.mark.real
@pytest.mark.e2e
@pytest.mark.local
def test_a_command_reaches_the_platform(platform) -> None:
    """`make env` puts the commands on PATH; one lists the platform's topics."""
    done = subprocess.run(
        [
            kafka_tools.write(platform.stack.home) / "kafka-topics.sh",
            "--bootstrap-server",
            platform.urls["KAFKA_BOOTSTRAP_SERVERS"],
            "--list",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert {"checkout-events", "checkout-events.dlq"} <= set(done.stdout.split())
