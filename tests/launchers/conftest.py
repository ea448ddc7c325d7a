"""A Ray cluster of two nodes on this machine, and a folder for tiny runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launchers import clusters
from tests.launchers.clusters import RayCluster
from tests.orpo.tiny_run import Bench, write_base, write_pairs


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    with clusters.ray_cluster() as cluster:
        yield cluster


@pytest.fixture
def on_ray(ray_cluster: RayCluster, settings_from: Callable[..., None]) -> RayCluster:
    """Runs are submitted to the cluster."""
    settings_from(**ray_cluster.settings, lease_s=20)
    return ray_cluster


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    base = write_base(tmp_path / "tiny")
    return Bench(tmp_path, base, write_pairs(tmp_path / "pairs.jsonl", 12))
