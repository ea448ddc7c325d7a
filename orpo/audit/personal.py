"""Personal data and secrets: e-mail addresses, phone numbers, payment cards, bank accounts, keys.

Card numbers must have the right check digit (Luhn), accounts the right remainder (ISO 13616). The
forms of keys are those of detect-secrets 1.5, without those that any long number fits, and a few
newer ones. `masked` hides all of it in a text that is shown.
"""

import re
from collections.abc import Callable, Iterator

from orpo.audit.blocks import Block
from orpo.audit.texts import turns_of

EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w@])"
)
# Domains reserved for examples (RFC 2606).
RESERVED = re.compile(r"@(?:[\w-]+\.)*(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$")
PHONE = re.compile(
    r"(?<![\w+.,/-])(?:\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w-])"
)
CARD = re.compile(
    r"(?<![\d.,-])[2-6]\d{3}(?:([ -]?)\d{4}\1\d{4}\1\d{1,7}|[ -]?\d{6}[ -]?\d{5})(?![\d-])"
)
IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    # Up to its end, or the lines of a key whose end is missing.
    r"(?:(?:[^-]|-(?!----))*-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:\s+[A-Za-z0-9+/=]{16,})*)"
)
# Lengths are bounded where a form could begin at many places of one run of characters: the time
# would grow with the square of the run.
API_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9_]{36}|github_pat_[A-Za-z0-9_]{40,}"
    r"|(?:glpat|gldt|glft|glsoat|glrt)-[A-Za-z0-9_\-]{20,50}(?!\w)"
    r"|sk-[A-Za-z0-9_-]{20,220}?T3BlbkFJ[A-Za-z0-9]{20}|sk-ant-[A-Za-z0-9_-]{20,}"
    r"|sk-proj-[A-Za-z0-9_-]{20,}"
    r"|xox[abposr]-(?:\d+-)+[A-Za-z0-9]+"
    r"|https://hooks\.slack\.com/services/T\w+/B\w+/\w+"
    r"|[rs]k_live_[0-9a-zA-Z]{24}"
    r"|SG\.[a-zA-Z0-9_-]{22}\.[a-zA-Z0-9_-]{43}"
    r"|npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9-_]{70,}"
    r"|sq0csp-[0-9A-Za-z\\\-_]{43}"
    r"|hf_[A-Za-z]{34}|AIza[0-9A-Za-z_-]{35}"
    r"|AccountKey=[a-zA-Z0-9+/=]{88}"
    r"|eyJ[A-Za-z0-9-_=]{10,1000}\.eyJ[A-Za-z0-9-_=]{10,}\.[A-Za-z0-9-_.+/=]{10,}"
    r")"
)

IBAN_CHARS = range(15, 35)
CARD_DIGITS = range(13, 20)


def is_card(number: str) -> bool:
    """Whether the digits of a text have the check digit of a card (Luhn)."""
    digits = [int(char) for char in number if char.isdigit()]
    if len(digits) not in CARD_DIGITS or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(number: str) -> bool:
    """Whether a text has the check digits of an account (ISO 13616: the remainder by 97 is 1)."""
    compact = number.replace(" ", "")
    if len(compact) not in IBAN_CHARS:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def is_address(address: str) -> bool:
    """Whether an e-mail address may be a person's: not one of a domain for examples."""
    return RESERVED.search(address.lower()) is None


def _any(_text: str) -> bool:
    return True


# By code: what it looks like, and whether that is really one.
FORMS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "private_key": (PRIVATE_KEY, _any),
    "api_key": (API_KEY, _any),
    "card_number": (CARD, is_card),
    "iban": (IBAN, is_iban),
    "email": (EMAIL, is_address),
    "phone_number": (PHONE, _any),
}

# In the bytes of rows: what each form can't do without. A search for certain bytes takes a tenth of
# the time of a search for a class of them. So digits are written as 0 and capitals as A first.
_CLASSES = bytes.maketrans(
    b"123456789BCDEFGHIJKLMNOPQRSTUVWXYZ", b"000000000AAAAAAAAAAAAAAAAAAAAAAAAA"
)
_NUMBER = re.compile(rb"[\d().-]{1,5} ?[\d().-]{1,5} ?[\d ().-]{4,}")
_BEFORE = 3  # bytes of a number before its first three digits, such as "(0"
_KEY_AFTER = (re.compile(rb"_[A-Za-z0-9_]{24}"), re.compile(rb"-[A-Za-z0-9_-]{8}"))
_KEY_PARTS = (
    b"AKIA", b"ASIA", b"ABIA", b"ACCA", b"A3T", b"SG.", b"AIza", b"eyJ", b"AccountKey=",
    b"hooks.slack",
)  # fmt: skip


def _candidates(raw: bytes) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Codes, and the positions of what may be one of them."""
    classes = raw.translate(_CLASSES)
    starts = [max(0, at - _BEFORE) for at in _each(classes, b"000")]
    numbers = [at for at in starts if _NUMBER.search(raw, at, at + 24)]
    yield ("card_number", "phone_number"), [*numbers, *_each(classes, b"+0")]
    yield ("iban",), list(_each(classes, b"AA00"))
    keys = [at for part in _KEY_PARTS for at in _each(raw, part)]
    keys += [match.start() for pattern in _KEY_AFTER for match in pattern.finditer(raw)]
    yield ("api_key",), keys
    yield ("private_key",), list(_each(raw, b"PRIVATE KEY"))
    yield ("email",), list(_each(raw, b"@"))


def _each(raw: bytes, sought: bytes) -> Iterator[int]:
    at = raw.find(sought)
    while at >= 0:
        yield at
        at = raw.find(sought, at + 1)


def found(block: Block) -> Iterator[tuple[str, int]]:
    """Yield a code and the index of a row in the block, for each finding."""
    for codes, candidates in _candidates(block.raw):
        for index in block.rows_at(candidates):
            texts = [turn.get("content") or "" for turn in turns_of(block.rows[index])]
            for code in codes:
                if any(holds(text, code) for text in texts):
                    yield code, index


def holds(text: str, code: str) -> bool:
    """Whether a text holds something of this kind."""
    pattern, is_one = FORMS[code]
    return any(is_one(match[0]) for match in pattern.finditer(text))


def masked(text: str) -> str:
    """The text with personal data and secrets replaced by their kind, such as [email]."""
    for code, (pattern, is_one) in FORMS.items():
        text = pattern.sub(
            lambda match, code=code, is_one=is_one: f"[{code}]" if is_one(match[0]) else match[0],
            text,
        )
    return text
