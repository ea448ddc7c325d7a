"""Output to a terminal: text without control sequences, and readable numbers."""

import pytest

from cli.view.output import ExitCode, duration, plain, size, sparkline


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\after", "after"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bcreset", "reset"),
        ("cut off \x1b[", "cut off "),
        ("over\rwritten\b\x00\x7f", "overwritten"),
        ("one\r\ntwo\tthree\n", "one\ntwo    three\n"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("[bold]markup[/] stays, naïve 日本 👍", "[bold]markup[/] stays, naïve 日本 👍"),
    ],
)
def test_plain_takes_out_what_steers_a_terminal(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


def test_sparkline_fits_the_width_and_the_scale() -> None:
    assert sparkline([1, 2, 3], 10) == "▁▅█"
    assert len(sparkline([float(i) for i in range(1000)], 20)) == 20
    assert sparkline([5, 5], 4) == "▁▁"
    assert sparkline([0.5], 4, 0, 1) == "▅"
    assert sparkline([], 4) == ""


def test_durations_and_sizes_carry_their_units() -> None:
    assert [duration(s) for s in (None, 8.4, 65, 7380)] == ["", "8 s", "1:05 min", "2:03:00 h"]
    assert [size(b) for b in (12, 269_000_000)] == ["12 B", "269.0 MB"]


def test_exit_codes_tell_endings_apart() -> None:
    assert len(set(ExitCode)) == len(ExitCode.__members__) == 8
