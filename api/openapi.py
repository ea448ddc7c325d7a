"""`python -m api.openapi`: the OpenAPI document, from which the page's client is generated.

With `--scopes`: its operations by the scope that each requires.
"""

import json
import sys

from api import document
from api.app import create_app


def main() -> None:
    """Print the document as JSON, or with `--scopes` a line for each operation."""
    app = create_app()
    if "--scopes" in sys.argv[1:]:
        rows = [f"{scope:8} {method:7} {path}\n" for scope, method, path in document.scopes(app)]
        sys.stdout.writelines(rows)
    else:
        json.dump(app.openapi(), sys.stdout, indent=2, sort_keys=True)


if __name__ == "__main__":
    main()
