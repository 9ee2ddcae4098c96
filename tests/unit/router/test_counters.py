"""What is counted: labels from outside are bounded, and measurements fall into buckets."""

from __future__ import annotations

from router.counters import MOST_FROM_OUTSIDE, Counters


def test_a_peer_that_changes_its_title_each_time_fills_no_memory() -> None:
    counters = Counters()
    for number in range(10 * MOST_FROM_OUTSIDE):
        counters.add("ponte_cstore_total", status="0000", calling_ae=f"CT{number}")
        counters.add("ponte_cstore_total", status="A700", calling_ae=f"CT{number}")
    assert len(counters.snapshot()) == 2 * (MOST_FROM_OUTSIDE + 1)
    others = 9 * MOST_FROM_OUTSIDE
    assert counters.value("ponte_cstore_total", status="0000", calling_ae="other") == others
    assert counters.value("ponte_cstore_total", status="0000") == 10 * MOST_FROM_OUTSIDE


def test_a_known_title_is_counted_still_when_no_further_one_is() -> None:
    counters = Counters()
    for number in range(MOST_FROM_OUTSIDE + 5):
        counters.add("ponte_cstore_total", calling_ae=f"CT{number}")
    counters.add("ponte_cstore_total", calling_ae="CT0")
    assert counters.value("ponte_cstore_total", calling_ae="CT0") == 2


def test_a_title_stays_within_its_quotes() -> None:
    counters = Counters()
    counters.add("ponte_cstore_total", calling_ae='A"} 1\n\\')
    assert list(counters.snapshot()) == ['ponte_cstore_total{calling_ae="A\\"} 1\\n\\\\"}']


def test_a_measurement_is_in_the_first_bucket_that_holds_it() -> None:
    counters = Counters()
    for value in (0.05, 0.1, 0.2, 7.0):
        counters.observe("seconds", value, (0.1, 1.0))
    assert counters.snapshot() == {
        'seconds_bucket{le="+Inf"}': 1,
        'seconds_bucket{le="0.1"}': 2,
        'seconds_bucket{le="1"}': 1,
        "seconds_sum": 7.35,
    }
