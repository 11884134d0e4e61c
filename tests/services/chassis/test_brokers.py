"""How Kafka is reached, from plain to TLS with a password."""

import ssl

import pytest

from services.chassis.brokers import Brokers, KafkaSettings
from services.chassis.env import BadSettings

WHERE = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
WHO = {"KAFKA_SASL_USERNAME": "cartwright", "KAFKA_SASL_PASSWORD": "secret"}


def test_plain():
    """The address alone is enough, and neither a certificate nor a password is asked for."""
    assert KafkaSettings.from_env(WHERE).brokers().options() == {
        "bootstrap_servers": "kafka:9092",
        "security_protocol": "PLAINTEXT",
    }


def test_tls_with_a_password():
    """SASL_SSL checks the brokers' certificates and names, and says who we are."""
    options = KafkaSettings.from_env(WHERE | WHO | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}).brokers().options()
    context = options.pop("ssl_context")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert options == {
        "bootstrap_servers": "kafka:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "cartwright",
        "sasl_plain_password": "secret",
    }


def test_an_authority_that_cannot_be_read():
    """A missing file is an error at the start, not a connection that trusts anybody."""
    with pytest.raises(OSError, match="No such file"):
        Brokers("kafka:9092", protocol="SSL", ca_file="/nowhere/ca.crt").options()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL: "),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM: "),
    ],
)
def test_wrong_settings(wrong, said):
    """What cannot work is refused at the start, by the variable's name."""
    with pytest.raises(BadSettings, match=said):
        KafkaSettings.from_env(WHERE | wrong)
