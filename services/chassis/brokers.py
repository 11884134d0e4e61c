"""The connection settings of Kafka: addresses, TLS and credentials, as each client of aiokafka takes them."""

import ssl
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from services.chassis.env import Settings


@dataclass(frozen=True, slots=True)
class Brokers:
    """Bootstrap addresses (`host:port`, separated by commas), and the protocol and credentials to connect with."""

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str = ""

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of every client of aiokafka; OSError if the CA file cannot be read."""
        options: dict[str, Any] = {"bootstrap_servers": self.servers, "security_protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            options["ssl_context"] = ssl.create_default_context(cafile=self.ca_file or None)
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


class KafkaSettings(Settings):
    """The variables of a process that connects to Kafka."""

    kafka_bootstrap_servers: str
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: str = ""
    """The file of the CA that signed the brokers' certificates; empty: the CAs that the machine trusts."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str = ""
    kafka_sasl_password: str = ""

    @model_validator(mode="after")
    def _require_credentials(self) -> "KafkaSettings":
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError("KAFKA_SECURITY_PROTOCOL with SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
        return self

    def brokers(self) -> Brokers:
        """Return the connection settings."""
        return Brokers(
            self.kafka_bootstrap_servers,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self.kafka_sasl_password,
            self.kafka_ca_file,
        )
