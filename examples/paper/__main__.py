"""`make paper`: train what is missing, then draw. `DRAW=1` only draws; `ONLY="a b"` names runs."""

import argparse
import os
import time
from functools import partial

from examples.paper import figures, page, runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", action="store_true", help="draw from the kept numbers only")
    parser.add_argument("--only", nargs="*", default=(), choices=[*runs.BY_NAME, runs.BASE])
    given = parser.parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the product sets it
    began = time.monotonic()
    if not given.draw:
        runs.do_all(partial(say, began), given.only)
    drawn = figures.draw_all()
    page.write()
    print(f"Drawn: {', '.join(drawn)}. The page: {page.PAGE.relative_to(runs.ROOT)}")


def say(began: float, text: str) -> None:
    """Print what is done now, after how many seconds."""
    print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
