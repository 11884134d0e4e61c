"""What the bank says is believed where it is about the charge that was asked for, and nowhere else."""

import pytest

from services.errors import OutcomeUnknown
from services.payment.clients import BankClient
from services.payment.domain import Payment, State
from services.pb import bank_pb2 as pb

PAYMENT = Payment("a", 1, 2999, "USD", State.INTENT)
GOOD = {"key": "a", "state": pb.CAPTURED, "amount_minor": 2999, "currency": "USD", "reference": "ref"}


class Says:
    """An endpoint whose bank gives one answer, whatever it is asked."""

    channel = None

    def __init__(self, **answer):
        self._answer = pb.Transaction(**answer)

    async def send(self, *_, **__):
        return self._answer


@pytest.fixture
def bank(monkeypatch):
    """Give the client of a bank that gives one answer."""

    class Stub:
        Charge = Cancel = None

        def __init__(self, _):
            pass

    monkeypatch.setattr("services.payment.clients.bank_pb2_grpc.BankStub", Stub)
    return lambda **answer: BankClient(Says(**answer))


async def test_an_answer_for_the_charge_decides(bank):
    """A captured, a declined and a cancelled charge are told apart, with the bank's reference; a cancelled one has no amount."""
    assert await bank(**GOOD).charge(PAYMENT) == (State.CAPTURED, "ref")
    assert await bank(**GOOD | {"state": pb.DECLINED}).charge(PAYMENT) == (State.DECLINED, "ref")
    cancelled = {"key": "a", "state": pb.CANCELLED}
    assert await bank(**cancelled).charge(PAYMENT) == (State.CANCELLED, "")
    assert await bank(**cancelled).cancel("a") == (State.CANCELLED, "")


@pytest.mark.parametrize(
    "wrong",
    [{"amount_minor": 299900}, {"amount_minor": 0}, {"currency": "EUR"}, {"key": "b"}, {"key": ""}, {"state": 0}],
    ids=str,
)
async def test_an_answer_for_another_charge_decides_nothing(bank, wrong):
    """An answer with another amount, currency or key, or a state that is not known, is neither a payment nor a refusal."""
    with pytest.raises(OutcomeUnknown):
        await bank(**GOOD | wrong).charge(PAYMENT)


async def test_a_cancellation_of_another_charge_decides_nothing(bank):
    """A bank that says that another charge is cancelled has not cancelled this one."""
    with pytest.raises(OutcomeUnknown):
        await bank(key="b", state=pb.CANCELLED).cancel("a")
