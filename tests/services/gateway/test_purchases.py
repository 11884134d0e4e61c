"""How many purchases may be under way is a question of time: as many as end while a shopper waits."""

import pytest

from services.gateway.purchases import SECONDS, SETTLE_SECONDS, Purchases

ALWAYS = 10


class Traffic:
    """Purchases by a clock that is set."""

    def __init__(self):
        self.now = 1000.0
        self.purchases = Purchases(ALWAYS, lambda: self.now)

    def hold(self, count):
        """Have so many under way."""
        while self.purchases.under_way > count:
            self.purchases.leave()
        while self.purchases.under_way < count:
            self.purchases.begin()

    def end(self, rate, seconds):
        """Have so many a second end, and as many begin, while one more is under way."""
        self.hold(1)
        for _ in range(int(rate * seconds)):
            self.now += 1 / rate
            self.purchases.begin()
            self.purchases.end()

    def are_enough(self, count, coming=0):
        """Give whether so many under way are enough, beside so many carts that are being filled."""
        self.hold(count)
        return self.purchases.are_enough(coming)

    def settle(self):
        """Have one purchase under way until it is known how many end."""
        self.hold(1)
        self.now += SETTLE_SECONDS


@pytest.fixture
def traffic():
    return Traffic()


def test_a_few_are_never_too_many(traffic):
    """However few purchases have ended, so many may always be under way."""
    traffic.settle()
    assert [traffic.are_enough(count) for count in (1, ALWAYS - 1, ALWAYS)] == [False, False, True]


def test_who_comes_first_is_not_refused_for_the_few_that_have_ended(traffic):
    """Of many who begin at once a few end first. Their next carts are not refused, since nobody knows yet how many can end."""
    traffic.hold(100 * ALWAYS)
    traffic.now += SETTLE_SECONDS / 2
    traffic.purchases.end()
    assert not traffic.are_enough(100 * ALWAYS, coming=100)
    traffic.now += SETTLE_SECONDS / 2
    assert traffic.are_enough(100 * ALWAYS, coming=100)


@pytest.mark.parametrize("rate", [50, 140, 1000])
def test_as_many_as_end_in_time_are_let_in(traffic, rate):
    """Once purchases have ended at a steady rate, the bound is what ends at that rate within the time that a purchase may take."""
    traffic.end(rate, seconds=20)
    assert not traffic.are_enough(int(0.95 * SECONDS * rate))
    assert traffic.are_enough(int(1.05 * SECONDS * rate))


@pytest.mark.parametrize("rate", [50, 1000])
def test_what_can_be_done_is_known_from_the_start(traffic, rate):
    """A little over half a second after the first purchase began the bound is what ends in that time, though few have ended yet."""
    traffic.end(rate, seconds=1.1 * SETTLE_SECONDS)
    assert not traffic.are_enough(int(0.9 * SECONDS * rate))
    assert traffic.are_enough(int(1.1 * SECONDS * rate))


def test_a_quiet_hour_says_nothing(traffic):
    """A purchase now and then does not tell how many can end in a second: those that come after it are counted anew."""
    for _ in range(100):
        traffic.hold(1)
        traffic.now += 1
        traffic.purchases.end()
    traffic.end(100, seconds=1.1 * SETTLE_SECONDS)
    assert not traffic.are_enough(int(0.9 * SECONDS * 100))


def test_carts_that_are_being_filled_count_beside_purchases(traffic):
    """A cart that is being filled may be bought next, so it counts; carts alone, however many, are no overload."""
    traffic.settle()
    assert not traffic.are_enough(0, coming=1000)
    traffic.settle()
    assert not traffic.are_enough(ALWAYS // 2 - 1, coming=1000)
    assert traffic.are_enough(ALWAYS // 2, coming=ALWAYS // 2)
    assert not traffic.are_enough(ALWAYS - 2, coming=1)


def test_a_short_lull_moves_the_bound_by_a_part_of_it(traffic):
    """A store that stops for a moment has nobody refused who fits; one that stands for long is known not to end any."""
    traffic.end(100, seconds=20)
    traffic.now += 0.2
    assert not traffic.are_enough(int(0.85 * SECONDS * 100))
    traffic.now += 20
    assert traffic.are_enough(ALWAYS)


def test_a_burst_of_quick_answers_is_soon_forgotten(traffic):
    """Purchases that were answered at once say little of those that come after them."""
    traffic.end(100, seconds=20)
    traffic.end(10_000, seconds=0.05)
    traffic.end(100, seconds=10)
    assert traffic.are_enough(int(1.05 * SECONDS * 100))


def test_what_waits_for_its_client_is_no_end(traffic):
    """A purchase whose client is slow to send it leaves and begins again, and does not make purchases look quick."""
    for _ in range(1000):
        traffic.purchases.begin()
        traffic.purchases.leave()
    assert traffic.purchases.under_way == 0
    traffic.settle()
    assert traffic.are_enough(ALWAYS)
