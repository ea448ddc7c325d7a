"""Endpoints outside of this installation that judges and baselines are asked at, and their keys.

A request names a secret; the operator's setting ODDSMITH_ENDPOINT_SECRETS holds it with the one
base URL that it may be sent to. So no user can have the operator's key sent to another host. The
keys are in no row, log, error or event.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from services.access.callers import OPERATOR
from services.platform import egress
from services.platform.errors import Invalid, Unavailable
from services.platform.settings import get_settings

MISCONFIGURED = (
    "The setting ODDSMITH_ENDPOINT_SECRETS can't be read. The operator must make it a JSON object "
    'such as {"name": {"base_url": "https://host/v1", "key": "..."}}.'
)


@dataclass(frozen=True)
class Secret:
    """A key with the base URL that it belongs to, and the organisations that may use it."""

    base_url: str
    key: str = field(repr=False)
    orgs: tuple[str, ...] = (OPERATOR,)


def normal(base_url: str, param: str = "base_url") -> str:
    """Return a base URL without a slash at its end, scheme and host in lower case.

    Raises Invalid unless it is an address of http or https without a user, a query or a fragment.
    """
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port
    except ValueError:
        raise _no_url(param) from None
    is_plain = parts.path.isprintable() and not (
        parts.query or parts.fragment or parts.username or parts.password
    )
    if parts.scheme not in egress.PORTS or not parts.hostname or not is_plain or "@" in base_url:
        raise _no_url(param)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    at = "" if port in (None, egress.PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{at}{parts.path.rstrip('/')}"


def _no_url(param: str) -> Invalid:
    return Invalid(
        "A base_url is an address such as https://api.example.com/v1: http or https, without a "
        "user's name, a query or a fragment. A key is never a part of it: name a `secret`.",
        param=param,
    )


def check(org_id: str, base_url: str, secret: str | None, param: str = "") -> str:
    """Return the normal form of a base URL that may be connected to, with this secret.

    `param` is the path of the object that holds `base_url` and `secret`, with a dot at its end.
    Raises Invalid for an address of a private network that the operator has not allowed, for a
    host without an address, and for a secret that isn't there or belongs to another base URL.
    """
    url = normal(base_url, f"{param}base_url")
    if not getproxies_environment():  # else the proxy resolves names and decides
        egress.check(url, f"{param}base_url")
    headers(org_id, url, secret, f"{param}secret")
    return url


def headers(
    org_id: str, base_url: str, secret: str | None, param: str = "secret"
) -> dict[str, str]:
    """Return the headers that a request to the base URL needs: none without a secret.

    Raises Invalid, with `param`, if the organisation has no such secret or if it belongs to another
    base URL, and Unavailable if the operator's setting can't be read.
    """
    if secret is None:
        return {}
    found = _stored().get(secret)
    if found is None or org_id not in found.orgs:
        raise Invalid(
            f"There is no secret '{secret}' for your organisation: the operator adds it to "
            "ODDSMITH_ENDPOINT_SECRETS.",
            param=param,
            code="secret_not_found",
        )
    if found.base_url != normal(base_url):
        raise Invalid(
            f"The secret '{secret}' is for another base_url, and is sent to no other address. "
            "Name the secret of this base_url, or the base_url of this secret.",
            param=param,
            code="secret_of_another_host",
        )
    return {"Authorization": f"Bearer {found.key}"}


def _stored() -> dict[str, Secret]:
    text = get_settings().endpoint_secrets.get_secret_value().strip()
    if not text:
        return {}
    try:
        return {name: _secret(entry) for name, entry in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError, Invalid):
        # The error itself is left out: it could quote a key.
        raise Unavailable(MISCONFIGURED, code="bad_endpoint_secrets") from None


def _secret(entry: dict[str, Any]) -> Secret:
    key, orgs = entry["key"], entry.get("orgs", [OPERATOR])
    if not isinstance(key, str) or not key.isascii() or not key.isprintable() or not key:
        raise ValueError
    return Secret(normal(entry["base_url"]), key, tuple(map(str, orgs)))
