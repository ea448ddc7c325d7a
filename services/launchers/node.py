"""`python -m services.launchers.node RUN_DIR VERB`: run one node's ranks of a run on a cluster.

A cluster starts this on each node. It sees the same run folder as the worker that holds the job,
and lives by the lease there (`leases.py`). It has no credentials of the platform.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orpo.contract.failures import PAST_DEADLINE
from orpo.contract.rundir import MEETING
from orpo.contract.spec import read_spec
from services.launchers.leases import Lease, replace
from services.launchers.local import Node, TrainingProcess, launch
from services.platform.settings import get_settings

logger = logging.getLogger(__name__)

TICK_S = 0.5
# The variables in which launchers pass the number of this node: Slurm, and Kubeflow's trainer.
NODE_VARIABLES = ("SLURM_NODEID", "PET_NODE_RANK")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the status of the ranks, or 70 if no worker holds the run any more."""
    parser = argparse.ArgumentParser(prog="services.launchers.node", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("verb", choices=("train", "estimate", "deep_audit"))
    parser.add_argument("--node", type=int, default=number_in(os.environ), help="which one this is")
    parser.add_argument("--devices", default="", help="its GPUs, as 0,1; by default all it sees")
    parser.add_argument("--address", help="where the other nodes reach it")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    node = Node(
        options.node,
        [int(index) for index in options.devices.split(",") if index],
        options.address or get_settings().node_address or socket.gethostname(),
    )
    return Agent(options.run_dir, options.verb, node).run()


def number_in(environ: Mapping[str, str]) -> int:
    """The number of this node, which its launcher has put into the environment."""
    return next((int(environ[name]) for name in NODE_VARIABLES if name in environ), 0)


class Agent:
    """The ranks of one node. SIGTERM, as a cluster sends it before it takes the node back, lets
    them save and end.
    """

    def __init__(self, run_dir: Path, verb: str, node: Node) -> None:
        self.run_dir, self.verb, self.node = run_dir, verb, node
        self.lease = Lease(run_dir, str(node.index))
        self.is_stopping = False
        signal.signal(signal.SIGTERM, self._stop)

    def run(self) -> int:
        """Return when the ranks have ended."""
        if self.lease.left_s() <= 0:
            logger.error("No worker holds this run any more: nothing is started.")
            return PAST_DEADLINE
        spec = read_spec(self.run_dir)
        if spec.method.nodes > 1 and not self._meet():
            return PAST_DEADLINE
        process = launch(self.run_dir, spec, verb=self.verb, node=self.node, has_deadline=True)
        try:
            return self._follow(process)
        finally:
            process.kill()

    def _meet(self) -> bool:
        """Agree on the address at which the ranks meet: the first node chooses a free port.

        False if the lease runs out before the first node is there.
        """
        meeting = self.run_dir / MEETING
        if self.node.index == 0:
            with socket.create_server((self.node.address or "", 0)) as listener:
                replace(meeting, f"{self.node.address}:{listener.getsockname()[1]}")
        while not meeting.exists():
            if self.lease.left_s() <= 0:
                logger.error("The lease has run out while this node waited for the first one.")
                return False
            time.sleep(TICK_S)
        return True

    def _follow(self, process: TrainingProcess) -> int:
        stop_was_heard = False
        while (code := process.poll()) is None:
            try:
                left_s = self.lease.left_s()
                process.extend(left_s)
            except OSError as error:
                # The deadline stands; the ranks end by it if the folder stays away.
                logger.warning("the run's folder can't be reached: %s", error)
            else:
                if left_s <= 0:
                    logger.error("No worker holds this run any more: its ranks are ended.")
                    return PAST_DEADLINE
                self.is_stopping = self.is_stopping or self.lease.is_to_stop
            if self.is_stopping and not stop_was_heard:
                stop_was_heard = process.ask_to_stop()
            time.sleep(TICK_S)
        return code

    def _stop(self, _signal: int, _frame: object) -> None:
        self.is_stopping = True


if __name__ == "__main__":
    sys.exit(main())
