"""The services around a checkout, as fakes that answer what a test sets."""

from services.checkout.domain import Payment, Reservation


class MemoryStock:
    """Fits the port Stock: there is enough of everything, unless `answers` says otherwise."""

    def __init__(self):
        self.answers = {
            "reserve": Reservation.PINNED,
            "pin": Reservation.PINNED,
            "confirm": Reservation.CONFIRMED,
            "release": Reservation.RELEASED,
        }
        self.asked = []

    def __getattr__(self, call):
        async def ask(session):
            self.asked.append(call)
            return self.answers[call]

        return ask


class MemoryPayments:
    """Fits the port Payments; `faults` and `rivals` are what a charge of a key meets first, each once."""

    def __init__(self):
        self.faults, self.rivals, self.charged = {}, {}, []
        self.answer = Payment.CAPTURED

    async def charge(self, session):
        self.charged.append(session.key)
        if fault := self.faults.pop(session.key, None):
            raise fault
        if rival := self.rivals.pop(session.key, None):
            await rival()
        return self.answer

    async def cancel(self, session):
        return Payment.CANCELLED
