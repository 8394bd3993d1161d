"""A command that ends early leaves nothing half, says why in one line, and the next run makes the same bytes."""

import random

import pytest

from tests.faults.forked import Forked
from tests.faults.results import KINDS, can_mount, harness
from tests.faults.scenarios import SCENARIOS, find_scenario

TRIALS = 3  # of each kind, of each command


def test_a_few_faults_of_a_tracking(tmp_path):
    scenario = find_scenario("track")
    with Forked(tmp_path, [scenario.module]) as commands, harness(scenario, tmp_path, commands) as tried:
        assert tried.uses > 20
        for kind, part in (("kill", 0.4), ("kill", 0.93), ("terminate", 0.6), ("full", 0.5)):
            assert tried.trial(kind, part) is None, (kind, part)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_many_faults_of_every_command(scenario, tmp_path):
    draw = random.Random(scenario.name)
    wrong = []
    with Forked(tmp_path, [scenario.module]) as commands, harness(scenario, tmp_path, commands) as tried:
        for kind in KINDS:
            if kind == "small disk" and not can_mount(tmp_path):
                continue
            for part in (draw.random() for _ in range(TRIALS)):
                if found := tried.trial(kind, part):
                    wrong.append(f"{kind} at {part:.4f}: {found}")
    assert wrong == []
