"""Progress in a log says what is under way, and what remains."""

from __future__ import annotations

import pytest

from mdgeomfeat.cli import progress
from mdgeomfeat.cli.progress import PlainReporter


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_steps_tell_how_long_those_left_take(clock, capsys):
    with PlainReporter().steps("slow motions") as tell:
        tell(0, 2, "choosing the lag")
        clock.now += 60
        # more steps are planned: the first ones say nothing of their pace
        tell(1, 11, "part 1")
        for done in range(2, 6):
            clock.now += 10
            tell(done, 11, f"part {done}")
    assert capsys.readouterr().err.splitlines() == [
        "slow motions: 0/2, choosing the lag",
        "slow motions: 1/11, part 1",
        "slow motions: 2/11, part 2, about 1 min 30 s left",
        "slow motions: 3/11, part 3, about 1 min 20 s left",
        "slow motions: 4/11, part 4, about 1 min 10 s left",
        "slow motions: 5/11, part 5, about 1 min 00 s left",
        "slow motions: 1 min 40 s",
    ]


def test_steps_that_follow_quickly_are_not_all_told(clock, capsys):
    with PlainReporter().steps("slow motions") as tell:
        for done in range(10):
            tell(done, 10, "part")
            clock.now += 1
        tell(10, 10, "done")
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == [
        " 0/10, part",
        " 5/10, part, about 5.0 s left",
        " 10.0 s",
    ]
