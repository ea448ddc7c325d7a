"""A benchmark names the machine by what decides its figures."""

from pathlib import Path

import pytest

from bench.machine import machine

AMD = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"
INTEL = "model name\t: Intel(R) Xeon(R)\nflags\t\t: avx2 avx512f avx512_bf16 amx_bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.mark.parametrize(
    ("text", "cpu", "instructions"),
    [(AMD, "AMD EPYC", "avx512_bf16"), (INTEL, "Intel(R) Xeon(R)", "amx_bf16"), (ARM, "", "bf16")],
)
def test_the_fastest_instructions_are_named(tmp_path: Path, text: str, cpu: str, instructions: str):
    (tmp_path / "cpuinfo").write_text(text)
    found = machine(cpuinfo=tmp_path / "cpuinfo")
    assert found.instructions == instructions
    assert found.slug == f"{instructions}-{found.cores}-cores"
    assert cpu in str(found)


def test_a_gpu_stands_in_the_file_s_name_and_the_cpu_beside_it(tmp_path: Path):
    (tmp_path / "cpuinfo").write_text(AMD)
    found = machine("NVIDIA H100", tmp_path / "cpuinfo")
    assert found.slug == f"NVIDIA-H100-{found.cores}-cores"
    assert str(found) == f"NVIDIA H100, {found.cores} cores of AMD EPYC (avx512_bf16)"


def test_without_a_list_of_features_there_is_a_name(tmp_path: Path):
    assert machine(cpuinfo=tmp_path / "absent").instructions
