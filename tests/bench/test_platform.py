"""What the platform's benchmark writes as a training step would."""

import json

import orjson

from bench.platform.rows import line
from bench.series import TRAIN


def test_a_step_is_written_as_json():
    # orjson takes no member of an enumeration as a key, where json does.
    assert json.loads(orjson.dumps(line(3)))["values"].keys() == set(TRAIN)
