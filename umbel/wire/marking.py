"""Changes and reads the marks of a message that is bytes already, without reading its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from umbel.errors import SignatureError, WireError
from umbel.model import Envelope
from umbel.serial import read_json, write_json
from umbel.wire import marks
from umbel.wire.envelope import pack, unpack

if TYPE_CHECKING:
    from umbel.wire.protection import Protection


def marked(envelope: Envelope, changes: Mapping[str, Any], *, protection: Protection | None = None) -> Envelope:
    """The same message with these marks; None takes a mark away. It is signed anew, so its age begins anew too.

    For a message that is to be sent again as it is: a dead letter, a copy in place of the original. Its body may be
    unreadable. Raises ``DecodeError`` when its head is, ``EncodeError`` for a mark that does not exist, and
    ``SignatureError`` for one that is not signed by a key of ``protection``, whose age does not matter: what nobody
    here has signed is not signed now.
    """
    letter = unpack(envelope)
    signed = letter.headers.pop(marks.SIGNATURE, None)
    if protection is not None:
        protection.check(letter._replace(headers={**letter.headers, marks.SIGNATURE: signed}), fresh=False)
    elif signed is not None:
        raise SignatureError("the message is signed, and no key is here to sign it anew (security_signing_keys)")
    for name, value in changes.items():
        if value is None:
            letter.headers.pop(name, None)
        else:
            letter.headers.update(marks.written({name: value}))
    if protection is not None:
        seen = read_json(write_json(letter.headers, "headers"), "headers")
        letter.headers.update(protection.sign(letter._replace(headers=seen)))
    return pack(envelope.form, envelope.id, *letter)


def resent(envelope: Envelope) -> Envelope:
    """The same message, marked as one that may have been sent before; a signature stays good. Raises ``WireError``."""
    letter = unpack(envelope)
    letter.headers[marks.RESENT] = True
    return pack(envelope.form, envelope.id, *letter)


def life_of(envelope: Envelope) -> int:
    """Which life of its task an envelope belongs to, as far as that can be told; never raises."""
    try:
        life: int = marks.read(marks.LIFE, unpack(envelope).headers.get(marks.LIFE, 0))
    except WireError:
        return 0
    return life


def reply_to_of(envelope: Envelope) -> str:
    """Where the caller of an envelope listens for its result, as far as that can be told; never raises."""
    try:
        place = unpack(envelope).properties.get("reply_to")
    except WireError:
        return ""
    return place if isinstance(place, str) else ""
