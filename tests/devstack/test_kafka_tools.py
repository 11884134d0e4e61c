"""Kafka's commands, as a person has them after `eval "$(make -s env)"`."""

import zipfile
from pathlib import Path

from devstack import kafka_tools
from devstack.home import user_environment


def test_every_command_is_a_class_of_the_jars() -> None:
    """The jars that are fetched have the class of each command, so that none fails only when a runbook needs it."""
    (start, *_) = found = kafka_tools.command("kafka-topics.sh", [], user_environment(), print)
    assert start.endswith("java")
    folders = found[found.index("-cp") + 1].split(":")
    held = set()
    for folder in folders:
        for jar in Path(folder).parent.glob("*.jar"):
            with zipfile.ZipFile(jar) as one:
                held |= set(one.namelist())
    assert {f"{name.replace('.', '/')}.class" for name in kafka_tools.COMMANDS.values()} <= held
