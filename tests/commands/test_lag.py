from __future__ import annotations

import pytest

from mdgeomfeat.commands.lag import parse_lag
from mdgeomfeat.errors import InputError
from mdgeomfeat.text import format_time


@pytest.mark.parametrize(
    ("text", "dt", "frames"),
    [
        ("20", None, 20),
        ("20", 2.0, 20),
        ("20ps", 2.0, 10),
        ("0.5ns", 2.0, 250),
        ("1 us", 1000.0, 1000),
        ("500fs", 0.5, 1),
        ("20ps", 1.9999999, 10),
        ("48ps", 0.0039999998 * 1000, 12),
    ],
)
def test_lags_as_people_write_them(text, dt, frames):
    assert parse_lag(text, dt) == frames


@pytest.mark.parametrize(
    ("text", "dt", "message"),
    [
        ("soon", 1.0, "cannot be read"),
        ("20 parsec", 1.0, "cannot be read"),
        ("1e400", 1.0, "cannot be read"),
        ("1e400ps", 1.0, "cannot be read"),
        ("1e308ms", 1.0, "longer than any trajectory"),
        ("0", 1.0, "above 0"),
        ("-5", 1.0, "cannot be read"),
        ("2.5", 1.0, "whole number"),
        ("20ps", None, "is not known here; state it with --dt"),
        ("5ps", 2.0, r"2\.5 frames of 2 ps.*2 \(4 ps\) and 3 \(6 ps\)"),
        ("0.1ps", 2.0, r"nearest whole numbers are 1 \(2 ps\) and 2"),
    ],
)
def test_a_lag_that_cannot_be_used_is_told(text, dt, message):
    with pytest.raises(InputError, match=message):
        parse_lag(text, dt)


@pytest.mark.parametrize(
    ("ps", "text"),
    [
        (0.002, "2 fs"),
        (0.5, "0.5 ps"),
        (136.2, "136 ps"),
        (1500, "1.5 ns"),
        (2e6, "2 µs"),
    ],
)
def test_times_are_written_in_a_unit_that_suits(ps, text):
    assert format_time(ps) == text
