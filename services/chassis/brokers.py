"""How Kafka is reached: its addresses, and who we are to it, as each client of the library takes them."""

import ssl
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from services.chassis.env import Settings


@dataclass(frozen=True, slots=True)
class Brokers:
    """Kafka's bootstrap addresses (`host:port`, with commas between), and how to speak to them."""

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str = ""

    def options(self) -> dict[str, Any]:
        """Give what every client of aiokafka takes; OSError where the authority's file cannot be read."""
        given: dict[str, Any] = {"bootstrap_servers": self.servers, "security_protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            given["ssl_context"] = ssl.create_default_context(cafile=self.ca_file or None)
        if self.protocol.startswith("SASL"):
            given |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return given


class KafkaSettings(Settings):
    """The variables of whoever speaks to Kafka."""

    kafka_bootstrap_servers: str
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: str = ""
    """The authority that signed the brokers' certificates; empty: those that the machine trusts."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str = ""
    kafka_sasl_password: str = ""

    @model_validator(mode="after")
    def _who_we_are(self) -> "KafkaSettings":
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError("KAFKA_SECURITY_PROTOCOL with SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
        return self

    def brokers(self) -> Brokers:
        """Give how Kafka is reached."""
        return Brokers(
            self.kafka_bootstrap_servers,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self.kafka_sasl_password,
            self.kafka_ca_file,
        )
