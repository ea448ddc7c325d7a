"""An engine's command line, its environment, and the error from its last log lines."""

import json

import pytest

from workers import vllm


@pytest.mark.parametrize(
    ("rank", "allowed"), [(1, 16), (16, 16), (17, 32), (129, 256), (300, 320), (512, 512)]
)
def test_ranks_are_rounded_up_to_what_vllm_takes(rank, allowed):
    assert vllm.round_up_rank(rank) == allowed


def test_a_rank_beyond_all(tmp_path):
    with pytest.raises(vllm.UnservableError, match="513"):
        vllm.round_up_rank(513)
    with pytest.raises(vllm.UnservableError, match="missing"):
        vllm.adapter_rank(tmp_path)


def test_the_largest_rank_of_a_pattern_counts(tmp_path):
    config = {"r": 8, "rank_pattern": {"q_proj": 64}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert vllm.adapter_rank(tmp_path) == 64


def test_the_context_is_no_longer_than_the_model_s(tmp_path):
    assert vllm.context_length(str(tmp_path)) == 4096
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    assert vllm.context_length(str(tmp_path)) == 512
    config = {"text_config": {"max_position_embeddings": 9000}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert vllm.context_length(str(tmp_path)) == 4096


@pytest.mark.parametrize("parser", [None, "hermes"])
def test_a_parser_reads_calls_and_no_schema_becomes_a_grammar(tmp_path, settings_from, parser):
    settings_from(var=tmp_path)
    plan = vllm.Plan("engine-1", str(tmp_path), "base", "socket", 0, "cpu", 0, None, parser)
    argv = vllm.command(plan)
    assert ("--enable-auto-tool-choice" in argv) is (parser is not None)
    assert parser is None or argv[argv.index("--tool-call-parser") + 1] == parser
    # vLLM would compile one for each tool that is `strict`.
    assert vllm.engine_environment(plan)["VLLM_ENFORCE_STRICT_TOOL_CALLING"] == "0"


WHOLE = "model.safetensors"
STRAY = {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        ({WHOLE, "config.json"}, None),
        ({WHOLE, "config.json", "adapter_config.json"}, None),
        ({WHOLE, "config.json", *STRAY}, {"adapter_model.safetensors"}),
        # vLLM takes the files of an index only.
        ({"a.safetensors", "model.safetensors.index.json", "config.json", *STRAY}, None),
    ],
)
def test_an_adapter_beside_whole_weights_is_not_loaded_as_weights(
    tmp_path, monkeypatch, names, left_out
):
    folder, engine = tmp_path / "base", tmp_path / "engine"
    folder.mkdir()
    engine.mkdir()
    for name in names:
        (folder / name).write_text(name)
    monkeypatch.setattr(vllm.engine_folders, "folder", lambda _: engine)
    plan = vllm.Plan("engine-1", str(folder), "base", "socket", 0, "cpu", 0)
    for _ in range(2):  # the second time as after an interrupted start
        served = vllm._weights_alone(plan)
        assert (served == folder) == (left_out is None)
        assert {path.name for path in served.iterdir()} == names - (left_out or set())
        assert all((served / name).read_text() == name for name in names - (left_out or set()))


FAILED_START = """\
(EngineCore pid=7) ERROR 11-23 01:56:11 [core.py:1] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-23 01:56:11 [core.py:1] ValueError: No KV cache fits.
(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above.
"""
LOGS = [
    (FAILED_START, "ValueError: No KV cache fits."),
    ("\x1b[31mtorch.OutOfMemoryError: CUDA out of memory.\x1b[0m\n", "torch.OutOfMemoryError: C"),
    ("api_server.py: error: argument --port: invalid\n", "api_server.py: error: argument"),
    ("Killed\n", "Killed"),
    ("", "its log is empty"),
    (None, "it left no log"),
]


@pytest.mark.parametrize(("log", "expected"), LOGS)
def test_the_last_words_name_the_cause(tmp_path, monkeypatch, log, expected):
    path = tmp_path / "engine.log"
    if log is not None:
        path.write_text(log)
    monkeypatch.setattr(vllm, "log_file", lambda _: path)
    assert vllm.last_words("engine-1").startswith(expected)
