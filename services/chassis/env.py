"""Settings from the environment: the only place that reads it, so that every variable of a service stands in its Config."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class BadSettings(ValueError):
    """The environment does not hold what the service needs; `str()` names each variable on a line of its own."""


def seconds(text: object) -> float:
    """Give the seconds of `250ms`, `2s`, `5m`, `1h` or a bare number of seconds; ValueError for anything else."""
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        raise ValueError("must be a duration such as 250ms, 2s, 5m or 1h")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


Seconds = Annotated[float, BeforeValidator(seconds)]
Port = Annotated[int, Field(ge=0, le=65535)]


def process_environment() -> Mapping[str, str]:
    """Give the environment of this process."""
    return os.environ  # noqa: TID251 - this is the one place


class Settings(BaseSettings):
    """What every process needs. A service's Config inherits it and adds its own variables; a field is its variable's name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")
    _source: ClassVar[Mapping[str, str]]

    app_env: str = "production"
    """`dev` allows what only a laptop should: mock users."""
    log_level: str = "info"
    listen_host: str = "0.0.0.0"
    """The address to listen on; a laptop narrows it to 127.0.0.1."""
    http_port: Port = 0
    """Health, readiness and metrics."""
    grpc_port: Port = 0
    grpc_reflection: bool = True
    grpc_max_connection_age: Seconds = 10.0
    """How old a gRPC connection may become, give or take a tenth. Its end fails no call: the client connects again, and then
    finds new replicas. The default leaves time for stale DNS within the 30 s after which a new replica has its share. 0 means
    no limit."""
    http_max_connection_age: Seconds = 10.0
    """How old a keep-alive connection to the REST interface may become; each one ends between half of it and all of it. 0 means
    no limit."""
    drain_delay: Seconds = 5.0
    """How long a process goes on serving after SIGTERM: endpoints are removed asynchronously to it."""
    drain_timeout: Seconds = 20.0
    """How long requests under way may take to end after that."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings from `env`; BadSettings names every variable that is missing or wrong."""

        class Bound(cls):  # type: ignore[misc, valid-type]  # the class is a value here
            """The settings, bound to one environment."""

            @classmethod
            def settings_customise_sources(
                cls, settings_cls: type[BaseSettings], **_: PydanticBaseSettingsSource
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                source = EnvSettingsSource(settings_cls)
                source.env_vars = {name.lower(): value for name, value in env.items() if value != ""}
                return (source,)

        try:
            bound: Self = Bound()
        except ValidationError as error:
            raise BadSettings("\n".join(_explain(item) for item in error.errors())) from error
        return bound


def _explain(item: Any) -> str:
    """Say which variable is wrong and how, without the words of the library."""
    variable = ".".join(str(part) for part in item["loc"]).upper() or "settings"
    if item["type"] == "missing":
        return f"{variable}: is not set"
    return f"{variable}: {item['msg'].removeprefix('Value error, ')} (got {item['input']!r})"
