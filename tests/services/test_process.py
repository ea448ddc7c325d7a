"""A training's tree of processes, and the processes of it that get the signal to stop."""

import subprocess
import sys
import time

from services.launchers.local import TrainingProcess
from services.processes.verbs import environment

PARENT = """
import os, subprocess, sys
subprocess.Popen(["sleep", "60"])
sys.stdin.readline()
rank = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True)"
rank = [sys.executable, "-c", rank + "; signal.pause()"]
sys.exit(subprocess.run(rank, env=os.environ | {"LOCAL_RANK": "0"}).returncode)
"""


def test_only_ranks_are_asked_to_stop_and_it_is_said_whether_there_was_one(tmp_path):
    popen = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(str(tmp_path)),
    )
    assert popen.stdin
    assert popen.stdout
    training = TrainingProcess(popen, str(tmp_path))
    try:
        assert not training.ask_to_stop()
        time.sleep(0.1)
        assert training.poll() is None
        popen.stdin.write(b"\n")
        popen.stdin.flush()
        assert popen.stdout.readline() == b"up\n"
        assert training.ask_to_stop()
        assert popen.wait(timeout=10) == 7
    finally:
        training.kill()
