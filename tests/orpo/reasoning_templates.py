"""Short chat templates, each in the manner of a family: what they do to tools and thoughts."""

# ChatML without tools, which knows no thoughts: `tests.orpo.tiny_models.CHATML`.

# Qwen3: tools, thoughts of the turns after the last question only, an empty thought for the last
# turn, and an empty thought in the generation prompt if `enable_thinking` is false.
QWEN3 = (
    "{% if tools %}<|im_start|>system\n# Tools\n{% for tool in tools %}{{ tool | tojson }}\n"
    "{% endfor %}<|im_end|>\n{% endif %}"
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n"
    "</tool_response><|im_end|>\n"
    "{% elif m.role == 'assistant' %}"
    "{% set text = m.content %}{% set thought = '' %}"
    "{% if m.reasoning_content %}{% set thought = m.reasoning_content %}"
    "{% elif '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].split('<think>')[-1] %}"
    "{% set text = text.split('</think>')[-1] %}{% endif %}"
    "<|im_start|>assistant\n"
    "{% if loop.index0 > ns.last and (loop.last or thought) %}"
    "<think>\n{{ thought | trim }}\n</think>\n\n{% endif %}{{ text | trim }}"
    "{% for call in m.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": '
    "{% if call.function.arguments is string %}{{ call.function.arguments }}"
    "{% else %}{{ call.function.arguments | tojson }}{% endif %}}\n</tool_call>{% endfor %}"
    "<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
# DeepSeek-R1: the generation prompt opens a thought; every turn loses its own.
R1 = (
    "{% for m in messages %}{% if m.role == 'user' %}<U>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<A>{{ m.content.split('</think>')[-1] }}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<A><think>\n{% endif %}"
)
# The generation prompt opens a thought, and turns keep theirs, as they are.
OPENS_AND_KEEPS = (
    "{% for m in messages %}{% if m.role == 'user' %}<U>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<A>{{ m.content }}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<A><think>\n{% endif %}"
)
# Qwen3-Thinking-2507: the prompt opens a thought; the last turn has one, if only an empty one.
QWEN3_THINKING = QWEN3.replace(
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
    "<think>\n",
)
# gpt-oss: channels, the key `thinking`, results and arguments as JSON.
GPT_OSS = (
    "{% if tools %}<|im_start|>developer\nnamespace functions {\n{% for t in tools %}"
    "// {{ t.function.description }}\ntype {{ t.function.name }} = (_: { "
    "{% for name in t.function.parameters.properties %}{{ name }}, {% endfor %}}) => any;\n"
    "{% endfor %}}<|im_end|>{% endif %}"
    "{% set ns = namespace(tool='') %}{% for m in messages %}"
    "{% if m.role == 'assistant' %}"
    "{% if m.thinking %}<|im_start|>assistant<analysis>{{ m.thinking }}<|im_end|>{% endif %}"
    "{% for call in m.tool_calls or [] %}{% set ns.tool = call.function.name %}"
    "<|im_start|>assistant to=functions.{{ call.function.name }}<commentary>"
    "{{ call.function.arguments | tojson }}<|im_end|>{% endfor %}"
    "{% if m.content %}<|im_start|>assistant<final>{{ m.content }}<|im_end|>{% endif %}"
    "{% elif m.role == 'tool' %}<|im_start|>functions.{{ ns.tool }} to=assistant<commentary>"
    "{{ m.content | tojson }}<|im_end|>"
    "{% else %}<|im_start|>{{ m.role }}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
# Granite: thoughts and responses are plain text of the content; roles in marks; tools as JSON.
GRANITE = (
    "{% if tools %}<|im_start|>tools{{ tools | tojson(indent=4) }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}"
    "{% if m.tool_calls %}<tool_call>{{ m.tool_calls | tojson }}{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
# Llama 3.1: one call a turn, results as JSON, tools in the first user message.
LLAMA = (
    "{% for m in messages %}{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}"
    "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
    "<|im_start|>assistant\n\n{% set call = m.tool_calls[0].function %}"
    '{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}<|im_end|>'
    "{% elif m.role == 'tool' %}<|im_start|>ipython\n\n{{ m.content | tojson }}<|im_end|>"
    "{% else %}<|im_start|>{{ m.role }}\n\n"
    "{% if tools and m.role == 'user' and loop.index0 < 2 %}Given the functions:\n"
    "{% for t in tools %}{{ t | tojson }}\n\n{% endfor %}{% endif %}"
    "{{ m.content | trim }}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
)
# Gemma: no system turn, no tools.
GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
