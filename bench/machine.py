"""The machine that a benchmark runs on, as its table and its file of results name it."""

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
# Instruction sets of matrix products in bf16, the fastest first, as Linux names them.
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "bf16", "asimd")


@dataclass(frozen=True)
class Machine:
    """The cores that this process may use, and a GPU if there is one."""

    cpu: str
    instructions: str
    cores: int
    gpu: str | None = None

    def __str__(self) -> str:
        cores = f"{self.cores} cores of {self.cpu} ({self.instructions})"
        return f"{self.gpu}, {cores}" if self.gpu else cores

    @property
    def slug(self) -> str:
        """Its name in a file's name: two machines with different results have different ones."""
        return f"{self.gpu or self.instructions}-{self.cores}-cores".replace(" ", "-")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def machine(gpu: str | None = None, cpuinfo: Path = CPUINFO) -> Machine:
    """This machine. Without a list of the CPU's features, its instructions are its architecture."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    flags = facts.get("flags", facts.get("Features", "")).split()
    return Machine(
        cpu=facts.get("model name", "").strip() or platform.machine(),
        instructions=next((each for each in INSTRUCTIONS if each in flags), platform.machine()),
        cores=len(os.sched_getaffinity(0)),
        gpu=gpu,
    )
