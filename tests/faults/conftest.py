"""The stack of the rows, mended between them, and the table of what they showed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.files import seed
from services.platform import database
from services.platform.database import transaction
from tests.conftest import forget_connections
from tests.faults import table
from tests.faults.launch import running
from tests.faults.stack import ENDLESS, TWO_RANKS, Stack
from tests.launchers.clusters import RayCluster, ray_cluster

KEY = "sk-odd-for-faults-0123456789abcdefghijklmnop"
LINES = pytest.StashKey[list[table.Line]]()
BEGAN = pytest.StashKey[float]()


@pytest.fixture(scope="package")
def ray(pytestconfig: pytest.Config) -> Iterator[RayCluster | None]:
    """The Ray cluster of two nodes on which all rows train; None without `--on-ray`."""
    if not pytestconfig.getoption("on_ray"):
        yield None
        return
    for settings in (TWO_RANKS, ENDLESS):
        settings.update(strategy="fsdp2", nodes=2)
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="package")
def long_lived_stack(
    tmp_path_factory: pytest.TempPathFactory, ray: RayCluster | None
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("faults") / "var"
    with running(folder, ray.settings if ray else {}) as stack:
        stack.start_s = 240 if ray else 0
        yield stack


@pytest.fixture
def stack(long_lived_stack: Stack) -> Iterator[Stack]:
    """The stack with all its parts alive and idle, and so again after the test.

    Rows without the stack may follow: what still trained would take their cores.
    """
    yield long_lived_stack
    long_lived_stack.heal()


@pytest.fixture
def faultless(stack: Stack) -> str:
    """An undisturbed job, run once: what the others must be equal to."""
    if stack.faultless is None:
        job_id = stack.create(**TWO_RANKS)
        stack.until_state(job_id, "succeeded")
        stack.faultless = job_id
    return stack.faultless


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what the row saw, for the table."""
    return lambda text: record_property("seen", text)


@pytest.fixture
def product(
    settings_from: Callable[..., None], database_url: str, tmp_path: Path
) -> Iterator[None]:
    """The product's services in this process, seeded, for rows that need no other process."""
    settings_from(database_url=database_url, var=tmp_path, storage_url="", redis_url="")
    forget_connections()
    with transaction() as session:
        seed.organization(session)
        seed.first_key(session, KEY)
    yield
    database.engine().dispose()
    forget_connections()


# --- the table ------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on-ray", action="store_true", help="Train on a Ray cluster of two nodes.")
    parser.addoption("--faults-table", type=Path, help="The document whose table is replaced.")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES], config.stash[BEGAN] = [], time.monotonic()


def _minutes(config: pytest.Config) -> float:
    return (time.monotonic() - config.stash[BEGAN]) / 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # pyright: ignore[reportAssignmentType]
    row = table.row_of(item.name)
    if row is not None and (report.when == "call" or not report.passed):
        result = {"passed": "pass", "failed": "FAIL"}.get(report.outcome, "SKIPPED")
        texts = [str(text) for name, text in report.user_properties if name == "seen"]
        doc = getattr(getattr(item, "function", None), "__doc__", "")
        done = table.first_sentence(doc)
        line = table.Line(row, done, "; ".join(texts), result)
        item.config.stash[LINES].append(line)
    return report  # pyright: ignore[reportReturnType]


def pytest_sessionfinish(session: pytest.Session) -> None:
    lines = session.config.stash[LINES]
    document = session.config.getoption("--faults-table", default=None)
    if document is not None:
        table.keep(lines, _minutes(session.config), document)
        if table.missing(lines):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    lines = config.stash[LINES]
    if lines:
        terminalreporter.section("faults")
        terminalreporter.write_line(table.written(lines, _minutes(config)))
        if lost := table.missing(lines):
            terminalreporter.write_line(f"Rows that did not run or did not pass: {lost}")
