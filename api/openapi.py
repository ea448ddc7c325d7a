"""`python -m api.openapi`: the API's own OpenAPI document, of which the page's client is made."""

import json
import sys

from api.app import create_app

if __name__ == "__main__":
    json.dump(create_app().openapi(), sys.stdout, indent=2, sort_keys=True)
