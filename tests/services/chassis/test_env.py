"""Settings out of an environment."""

import pytest

from services.chassis.env import BadSettings, Seconds, Settings, seconds


class Config(Settings):
    """A service's settings."""

    store_url: str
    pause: Seconds = 5.0


@pytest.mark.parametrize(
    ("text", "value"), [("250ms", 0.25), ("2s", 2), ("5m", 300), ("1h", 3600), ("7", 7), ("1.5s", 1.5)]
)
def test_durations(text: str, value: float) -> None:
    """A duration is read with its unit, in seconds."""
    assert seconds(text) == value


def test_what_is_set_is_read() -> None:
    """A variable of the environment becomes the field of its name, an empty one counts as not set."""
    config = Config.from_env({"STORE_URL": "x", "PAUSE": "2s", "HTTP_PORT": ""})
    assert (config.store_url, config.pause, config.http_port) == ("x", 2, 0)


def test_every_wrong_variable_is_named() -> None:
    """What is missing or wrong is named by its variable, each on a line."""
    with pytest.raises(BadSettings) as error:
        Config.from_env({"PAUSE": "soon", "HTTP_PORT": "99999"})
    lines = str(error.value).splitlines()
    assert {line.split(":")[0] for line in lines} == {"STORE_URL", "PAUSE", "HTTP_PORT"}
