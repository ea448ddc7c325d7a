"""`/v1/session`: a browser signs in with an API key or a link, and gets a cookie for it.

The cookie is HttpOnly and SameSite=Strict; requests that change something must also come from this
origin (`api/deps.py`).
"""

from typing import Annotated

from fastapi import Cookie, Request, Response

from api.deps import COOKIE, Admin, ReaderDep, SessionDep, same_origin
from api.routing import Router
from api.schemas.session import LinkObject, SessionObject, SignedOut, SignInRequest
from services.access import sign_ins

router = Router(prefix="/v1/session", tags=["session"])

Token = Annotated[str, Cookie(alias=COOKIE)]


@router.post("", summary="Sign this browser in")
def sign_in(
    request: Request, response: Response, session: SessionDep, body: SignInRequest
) -> SessionObject:
    """Sign a browser in with an API key, or with a link, which works once. The answer sets a cookie
    that no script can read.
    """
    same_origin(request)
    if body.token is not None:
        token, _ = sign_ins.with_link(session, body.token)
    else:
        token, _ = sign_ins.with_key(session, body.api_key or "")
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(sign_ins.SIGNED_IN.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return SessionObject.from_records(*sign_ins.current(session, token))


@router.get("", summary="The key that this browser is signed in with")
def retrieve(session: ReaderDep, token: Token = "") -> SessionObject:
    """Return the key that this browser is signed in with, and until when."""
    return SessionObject.from_records(*sign_ins.current(session, token))


@router.delete("", summary="Sign this browser out")
def sign_out(
    request: Request, response: Response, session: SessionDep, token: Token = ""
) -> SignedOut:
    """End the session of the cookie, and delete the cookie."""
    same_origin(request)
    sign_ins.end(session, token)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return SignedOut()


@router.post("/links", summary="Make a link that signs one browser in for this key")
def make_link(session: SessionDep, caller: Admin) -> LinkObject:
    """Make a link that signs in the first browser that opens it; it expires in half an hour."""
    token, record = sign_ins.make_link(session, caller)
    return LinkObject(path=f"/sign-in?token={token}", expires_at=int(record.expires_at.timestamp()))
