"""Money, spans and phases as a person reads them."""

import pytest

from services.console import words
from services.console.words import PHASES, REASONS, Tone, ago, counted, money, phase_of, reason_of, span


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (0, "USD", "$0.00"),
        (5, "USD", "$0.05"),
        (129998, "USD", "$1,299.98"),
        (10**15, "USD", "$10,000,000,000,000.00"),
        (-250, "USD", "-$2.50"),
        (1200, "EUR", "€12.00"),
        (1200, "CHF", "12.00 CHF"),
        (0, "XXX", "–"),
        (0, "", "–"),
    ],
)
def test_money_has_its_currency_and_two_decimals(minor, currency, shown):
    """An amount is grouped by thousands, exact, and never without a currency; before a claim there is none."""
    assert money(minor, currency) == shown


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_949, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (86_400_000, "1 day"),
        (2.5 * 86_400_000, "2 days"),
    ],
)
def test_spans_are_as_exact_as_needed(ms, shown):
    """A length of time changes its unit as it grows."""
    assert span(ms) == shown


@pytest.mark.parametrize(
    ("back", "shown"),
    [
        (0, "now"),
        (1500, "1 s ago"),
        (61_000, "1 min ago"),
        (7_200_000, "2 h ago"),
        (200_000_000, "2 days ago"),
        (-5000, "in 5 s"),
    ],
)
def test_times_are_said_from_now(back, shown):
    """A time is so long ago, or to come."""
    assert ago(1_000_000_000 - back, 1_000_000_000) == shown


def test_counts_have_their_noun():
    """One thing is singular."""
    assert (counted(1, "line"), counted(2, "line"), counted(1200, "story", "stories")) == (
        "1 line",
        "2 lines",
        "1,200 stories",
    )


def test_every_step_and_reason_has_words():
    """Each step of the saga and each reason of a failure is shown in words; one of a newer service is shown as it is."""
    from services.checkout.domain import Reason, Step  # noqa: PLC0415 - the service whose words these are

    assert set(PHASES) == set(Step)
    assert set(REASONS) == set(Reason)
    assert phase_of("HELD_BACK") == words.Phase("Held_back", Tone.QUIET)
    assert reason_of("Sunspots") == "Sunspots"
