"""Each finding's rows come back as they were written."""

import numpy as np
import pytest

from orpo.audit import found
from orpo.audit.found import Named


@pytest.fixture
def path(tmp_path):
    some = np.array([0, 7, 9], np.uint32)
    alike = Named(some, np.array([0, 1, 0], np.uint32))
    found.write(tmp_path / "found", {"near_duplicate": alike, "whitespace": Named(some[:1])})
    return tmp_path / "found"


def test_places_and_groups(path):
    alike = found.read(path, "near_duplicate")
    assert alike.places.tolist() == [0, 7, 9]
    assert alike.groups is not None
    assert alike.groups.tolist() == [0, 1, 0]
    assert found.read(path, "whitespace") == Named(np.array([0], np.uint32), None)


def test_an_unknown_finding_has_no_rows(path):
    assert found.read(path, "other").places.tolist() == []


def test_a_damaged_file_raises(path):
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        found.read(path, "whitespace")
