"""`python -m tests.launchers.ray_cluster CORES`: a Ray cluster of two nodes on this machine.

Each node has CORES cores. Prints a line with the process ids of the nodes' raylets once it is up,
adds a node for each line of its input, and ends when its input does.
"""

import json
import os
import socket
import sys
from typing import Any

from ray._private.node import Node
from ray.cluster_utils import Cluster

BYTES = 80_000_000  # of the object store; a run keeps nothing there


def main(cores: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    # The job server runs on loopback. The nodes' own ports have the cluster's token, too.
    server = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": port}
    of_node: dict[str, Any] = {"num_cpus": cores, "object_store_memory": BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=server | of_node)
    first = cluster.head_node
    assert first is not None
    _say(
        address=f"http://127.0.0.1:{port}",
        raylets=[raylet(first), raylet(cluster.add_node(**of_node))],
    )
    for _ in sys.stdin:
        _say(raylet=raylet(cluster.add_node(**of_node)))
    cluster.shutdown()


def raylet(node: Node) -> int:
    """The process that is a node: the others of the node end with it."""
    return node.all_processes["raylet"][0].process.pid


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main(int(sys.argv[1]))
