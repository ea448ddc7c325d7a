"""Where our steps spend their time: `python -m bench.train --profile`.

Trains as `ours.py` does, and prints the operators with the most self time in one step (without the
operators that they call): over all shapes, then by shape.
"""

import sys
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from bench.train.ours import begun
from bench.train.work import Work

LINES = 25


def main(path: Path) -> None:
    work = Work.read(path)
    with begun(work) as run:
        while run.progress.step < work.warmup:
            run.step()
        # One step only: torch takes minutes to count the operators of several.
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
            run.step()
    for by_shape in (False, True):
        found = profiled.key_averages(group_by_input_shape=by_shape)
        found = sorted(found, key=lambda of: of.self_cpu_time_total, reverse=True)
        whole_us = sum(of.self_cpu_time_total for of in found)
        print(f"{whole_us / 1e6:.1f} s")
        for of in found[:LINES]:
            share = of.self_cpu_time_total / whole_us
            shapes = f" {of.input_shapes}" if by_shape else ""
            print(f"{share:6.1%} {of.count:7d} {of.key}{shapes}"[:150])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
