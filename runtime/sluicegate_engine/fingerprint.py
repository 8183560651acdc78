"""Knows a request again without knowing what is in it.

A keyed hash: who has a list of them and not the key can neither read a request out of it nor try one.
"""

from __future__ import annotations

import hmac
import marshal
import secrets

from sluicegate_engine.payload import Payload

Fingerprint = str
LENGTH = 32
"""Hexadecimal digits, 128 bits."""
_KEY_BYTES = 32
OF_NO_CONSEQUENCE = frozenset(
    {
        # How the answer is handed over.
        "stream",
        "stream_options",
        # What clients note for themselves and others.
        "metadata",
        "request_id",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
        # The engine knows one class only.
        "priority",
    }
)
"""Fields that change nothing of what is computed, and that may change from one try to the next.

`cache_salt` is not among them: what one tenant does to its prompts is then nothing to another's.
"""


def new_key() -> str:
    """A random key, in hexadecimal digits."""
    return secrets.token_hex(_KEY_BYTES)


def fingerprint(key: str, route: str, body: bytes, request: Payload) -> Fingerprint:
    """Of a request as the engine would get it: `request` is what could be understood of `body`.

    The same for every try of the same request, whatever the order of its fields.
    """
    told = route.encode() + b"\0" + (_canonical(request) or body)
    return hmac.digest(bytes.fromhex(key), told, "sha256").hex()[:LENGTH]


def _canonical(request: Payload) -> bytes:
    """Equal for equal requests; b"" where nothing could be understood."""
    matters = sorted((name, value) for name, value in request.items() if name not in OF_NO_CONSEQUENCE)
    try:
        # Not JSON again, which takes ten times as long: whoever compares runs the same interpreter, and in
        # this version of the format equal values are equal bytes.
        return marshal.dumps(matters, 2) if matters else b""
    except ValueError:
        # It is nested too deep; vLLM refuses it.
        return b""
