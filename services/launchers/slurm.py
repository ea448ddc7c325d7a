"""Runs on a Slurm cluster, through its command line: sbatch, squeue, scontrol, scancel.

Slurm takes several jobs of one name, so a name is looked up before it is submitted, and jobs of one
name never run at the same time (`--dependency=singleton`). See docs/decisions/0032-launchers.md.
"""

import shlex
import subprocess
from collections.abc import Sequence

from services.launchers.cluster import Phase, Request, Status, Unreachable
from services.platform.settings import get_settings

TIMEOUT_S = 5.0  # short: the worker that waits holds a lease
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED")
RUNNING = ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED")
# srun starts one `node.py` on each node, and ends the others if one fails.
SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --dependency=singleton
#SBATCH --no-requeue
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH {devices}
#SBATCH --output={log}
{options}
exec srun --kill-on-bad-exit=1 {command}
"""
LOG = "train-slurm.log"


class Slurm:
    """The cluster whose commands are in this machine's PATH."""

    title = "Slurm"

    def submit(self, request: Request) -> None:
        if self._jobs(request.name):
            return
        _run(["sbatch", "--parsable"], script(request))

    def look(self, name: str) -> Status:
        jobs = self._jobs(name)
        if not jobs:
            return self._from_accounting(name)
        job_id, state, reason = jobs[-1]
        if state in WAITING:
            return Status(Phase.WAITING, f"Slurm says {reason}.")
        if state in RUNNING:
            return Status(Phase.RUNNING)
        return Status(Phase.ENDED, f"the job {job_id} is {state}", self._code(job_id))

    def stop(self, name: str) -> None:
        _run(["scancel", f"--name={name}"])

    def _jobs(self, name: str) -> list[list[str]]:
        """[id, state, reason] of each job of this name that Slurm still keeps."""
        ask = ["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%i|%T|%r"]
        return [line.strip().split("|") for line in _run(ask).splitlines() if line.strip()]

    def _code(self, job_id: str) -> int | None:
        """The exit status of a job that has ended: scontrol prints `ExitCode=status:signal`."""
        facts = dict(
            part.split("=", 1)
            for part in _run(["scontrol", "show", "job", "--oneliner", job_id]).split()
            if "=" in part
        )
        return status_of(facts.get("ExitCode", ""))

    def _from_accounting(self, name: str) -> Status:
        """An ended job that the controller has forgotten, where Slurm keeps accounts."""
        ask = ["sacct", "--noheader", "--parsable2", "-X", f"--name={name}"]
        try:
            lines = _run([*ask, "--format=JobID,State,ExitCode"]).splitlines()
        except Unreachable:  # no accounts are kept
            return Status(Phase.UNKNOWN)
        if not lines:
            return Status(Phase.UNKNOWN)
        job_id, state, code = lines[-1].split("|")
        if state.split()[0] in (*WAITING, *RUNNING):
            return Status(Phase.RUNNING)
        return Status(Phase.ENDED, f"the job {job_id} is {state}", status_of(code))


def script(request: Request) -> str:
    """The batch script of a run."""
    each = request.processes_a_node
    options = shlex.split(get_settings().slurm_options or "")
    return SCRIPT.format(
        name=request.name,
        nodes=request.nodes,
        devices=f"--gpus-per-node={each}" if request.on_gpus else f"--cpus-per-task={each}",
        log=request.run_dir / LOG,
        options="\n".join(f"#SBATCH {shlex.quote(option)}" for option in options),
        command=request.shell("node"),
    )


def status_of(pair: str) -> int | None:
    """The exit status of `status:signal`; None if there is none."""
    status, _, signal = pair.partition(":")
    if not status.isdecimal() or not signal.isdecimal():
        return None
    return int(status) or (128 + int(signal) if int(signal) else 0)


def _run(command: Sequence[str], given: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise Unreachable(f"Waits for Slurm: {command[0]} is not in the worker's PATH.") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"Waits for Slurm: {command[0]} took over {TIMEOUT_S:.0f} s.") from None
    if done.returncode:
        why = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise Unreachable(f"Waits for Slurm, whose {command[0]} says: {why[:300]}")
    return done.stdout
