"""A model check: the product's own code and SQL under seeded schedules of actions and faults.

Workers, keepers and people run as threads that take turns at each SQL statement. They freeze, die
and lose their connections; wake-ups come late, twice or not at all. After each commit the
invariants are checked. Then each guard is taken out in turn, and the check must report the broken
invariant.
"""

import psycopg
import pytest

from services.platform import database
from tests import records
from tests.services.protocol.actors import World
from tests.services.protocol.invariants import Checker, Violation
from tests.services.protocol.mutants import MUTANTS, Mutant
from tests.services.protocol.simulation import Simulation
from tests.services.protocol.turns import Turns

SETTINGS = {"lease_s": 30, "heartbeat_s": 3, "drain_s": 20, "retry_delay_s": 8, "max_attempts": 3}
MORE = range(1, 10)
# A missing guard must be noticed within this number of seeds; most are with the first.
SEEDS = 20


@pytest.fixture
def database_url(own_database_url):
    return own_database_url


@pytest.fixture
def turns(database_url):
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as monitor:
        turns = Turns(monitor)
        turns.install(monitor.info.dbname)
        yield turns


@pytest.fixture
def simulate(turns, product, settings_from, monkeypatch):
    """Run the protocol from a seed: with faults for some transitions, then to its end."""
    settings_from(**SETTINGS)

    def play(seed: int, transitions: int = 300) -> int:
        turns.watch(database.engine())
        with database.transaction() as session:
            caller = records.caller(session, f"seed {seed}")
            base, pairs = records.base_model(session, caller).id, records.file(session, caller).id
        world = World(seed, turns, caller, base, pairs)
        world.stand_in(monkeypatch)
        simulation = Simulation(world, Checker(turns.monitor, turns.start), seed)
        try:
            simulation.play(transitions)
        finally:
            simulation.close()
        return simulation.transitions

    return play


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(0, marks=pytest.mark.slow),
        *(pytest.param(n, marks=pytest.mark.faults) for n in MORE),
    ],
)
def test_whatever_happens_each_job_comes_to_one_end(simulate, seed):
    assert simulate(seed) >= 300


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_guard_that_is_taken_out_is_missed(simulate, turns, monkeypatch, mutant: Mutant):
    mutant.take_out(monkeypatch, turns.monitor)

    def play_all():
        for seed in range(SEEDS):
            simulate(seed)

    with pytest.raises(Violation) as caught:
        play_all()
    assert caught.value.invariant in mutant.breaks.split(" or "), caught.value
