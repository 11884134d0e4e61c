"""Kafka's own commands for a platform that runs here, under the names that they have in Kafka's `bin` folder.

The broker is made of jars alone and brings no commands; runbooks and people need some. `make env` puts those of COMMANDS
on PATH. What they are made of is fetched when one is used for the first time.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack import fetch, stores
from devstack.home import ROOT, Home, user_environment
from devstack.progress import Say

COMMANDS = {
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}
"""The Java class of each command: https://github.com/apache/kafka/tree/4.1.0/bin."""
_JAVA = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


def write(home: Home) -> Path:
    """Write a script for each command into a folder of the platform, and return the folder."""
    folder = home.path / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        run = shlex.join([sys.executable, "-m", "devstack.kafka_tools", name])
        script = folder / name
        script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {run} "$@"\n')
        script.chmod(0o755)
    return folder


def command(name: str, words: Sequence[str], env: Mapping[str, str], say: Say) -> list[str]:
    """Return what runs a command with these arguments; raises CannotFetch where it cannot be had."""
    programs, tools = stores.find({"kafka"}, env, say), fetch.jars("kafka-tools", env, say)
    return [str(programs.java), *_JAVA, "-cp", f"{programs.kafka}/*:{tools}/*", COMMANDS[name], *words]


def main() -> None:
    """Become the command that the arguments name."""
    name, *words = sys.argv[1:]
    try:
        found = command(name, words, user_environment(), lambda line: print(line, file=sys.stderr))
    except fetch.CannotFetch as error:
        sys.exit(f"error: {error}")
    os.execv(found[0], found)  # noqa: S606 - our own command


if __name__ == "__main__":
    main()
