"""What a chat template renders, and which of vLLM's parsers reads its calls."""

import json

import pytest

from services.serving.chat_templates import Renders, look

NOTHING = Renders(tools=False, reasoning=False, enable_thinking=False)
HERMES = r"""{% if tools %}<tool_call>{\"name\": n, \"arguments\": a}</tool_call>{% endif %}"""
CODER = "{% if tools %}<tool_call><function=f><parameter=arguments>{% endif %}</tool_call>"
LLAMA = "{% if tools %}<|python_tag|>{'name': n, 'parameters': p}{% endif %}"
TOOLS_ONLY = Renders(tools=True, reasoning=False, enable_thinking=False)


@pytest.mark.parametrize(
    ("template", "special", "found"),
    [
        ("{{ messages }}", (), NOTHING),
        ("{{ pretools }}{{ reasoning_effort }}{{ disable_thinking }}", (), NOTHING),
        (HERMES, (), Renders(True, False, False, "hermes")),
        (CODER, (), TOOLS_ONLY),
        (LLAMA, ("<|python_tag|>",), Renders(True, False, False, "llama3_json")),
        # vLLM's parser fails at the engine's start where the vocabulary lacks the token.
        (LLAMA, (), TOOLS_ONLY),
        ("{{ tools }}[TOOL_CALLS]", ("[TOOL_CALLS]",), TOOLS_ONLY),
        ("<tool_call></tool_call>arguments", (), NOTHING),
        (
            "{{ message.reasoning_content }}{% if enable_thinking is false %}",
            (),
            Renders(tools=False, reasoning=True, enable_thinking=True),
        ),
    ],
)
def test_a_template_is_known_by_its_words(tmp_path, template, special, found):
    assert look(tmp_path, template, special) == found
    (tmp_path / "chat_template.jinja").write_text(template)
    assert look(tmp_path, HERMES, special) == found


def test_the_configuration_holds_one_template_or_several(tmp_path):
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": HERMES}))
    assert look(tmp_path, None).tool_parser == "hermes"
    named = [{"name": "default", "template": "x"}, {"name": "tool_use", "template": HERMES}]
    config.write_text(json.dumps({"chat_template": named}))
    assert look(tmp_path, None).tool_parser == "hermes"
    # A file replaces it, as in transformers.
    (tmp_path / "chat_template.jinja").write_text("x")
    assert look(tmp_path, None) == NOTHING


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"chat_template": 1}', "[" * 100_000, '{"chat_template": [1]}']
)
def test_a_damaged_configuration_counts_as_none(tmp_path, content):
    (tmp_path / "tokenizer_config.json").write_text(content)
    assert look(tmp_path, None) == NOTHING
    assert look(tmp_path / "nowhere", None) == NOTHING


def test_a_certificate_is_read_back():
    stored = {"renders": {"tools": True, "reasoning": False, "enable_thinking": True, "new": 1}}
    assert Renders.of(stored) == Renders(tools=True, reasoning=False, enable_thinking=True)
    assert Renders.of({}) is Renders.of(None) is None
