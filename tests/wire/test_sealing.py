"""Sealed bodies: nobody reads them without a key, and nobody moves them to another message."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import DecodeError, MissingExtra, SealError, SignatureError, WireError
from umbel.model import Envelope, Links, Message
from umbel.serial import accepted
from umbel.wire.envelope import pack, unpack
from umbel.wire.protection import Protection
from umbel.wire.sealing import Sealing, derived, fingerprint
from umbel.wire.signing import Signing
from umbel.wire.task_v2 import HIDDEN, decode, encode

JSON = accepted(["json"])
KEY, OTHER = b"the first key of all", b"another one of those"
MESSAGE = Message(
    task="shop.mail",
    id="0191d7a4-8f0a",
    args=["sesame"],
    kwargs={"to": "sesame"},
    argsrepr="('sesame',)",
    headers={"mine": "readable"},
    links=Links(callbacks=[{"task": "shop.next", "args": ["sesame"]}]),
)


def sealing(*keys: bytes) -> Protection:
    return Protection(None, Sealing(keys or (KEY,)), lambda: 0.0)


def both(*keys: bytes) -> Protection:
    return Protection(Signing([KEY], 60), Sealing(keys or (KEY,)), lambda: 0.0)


def read(envelope: Envelope, protection: Protection | None) -> Message:
    return decode(envelope, accept=JSON, protection=protection)


def seal_of(envelope: Envelope) -> str:
    text = unpack(envelope).headers["umbel_sealed"]
    assert isinstance(text, str)
    return text


def with_headers(envelope: Envelope, **changes: Any) -> Envelope:
    letter = unpack(envelope)
    return pack("plain", envelope.id, {**letter.headers, **changes}, *letter[1:])


def test_a_sealed_message_shows_nothing_of_its_arguments_and_comes_back() -> None:
    envelope = encode(MESSAGE, "plain", protection=sealing())
    assert b"sesame" not in envelope.head + envelope.body
    headers = unpack(envelope).headers
    assert (headers["argsrepr"], headers["kwargsrepr"], headers["mine"]) == (HIDDEN, HIDDEN, "readable")
    back = read(envelope, sealing())
    assert (back.args, back.kwargs, back.links) == (MESSAGE.args, MESSAGE.kwargs, MESSAGE.links)
    assert (back.argsrepr, back.marks) == (HIDDEN, {})


def test_the_same_message_is_sealed_differently_each_time() -> None:
    first, second = (encode(MESSAGE, "plain", protection=sealing()) for _ in range(2))
    assert first.body != second.body
    assert seal_of(first) != seal_of(second)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_a_body_is_compressed_before_it_is_sealed(serializer: str, compression: str | None) -> None:
    message = replace(MESSAGE, args=["x" * 10_000], serializer=serializer, compression=compression)
    envelope = encode(message, "plain", protection=both())
    assert (len(envelope.body) < 1000) is (compression is not None)
    assert decode(envelope, accept=accepted([serializer]), protection=both()).args == message.args


def test_anybody_with_the_key_can_open_a_body_from_its_description() -> None:
    envelope = encode(MESSAGE, "plain", protection=sealing())
    key = HKDF(hashes.SHA256(), 32, None, b"umbel: sealing of messages, AES-256-GCM").derive(KEY)
    assert derived(KEY) == key
    version, name, nonce = seal_of(envelope).split(":")
    assert (version, name, len(nonce)) == ("v1", fingerprint(key), 24)
    bound_to = b'["umbel v1","shop.mail","0191d7a4-8f0a"]'
    opened = AESGCM(key).decrypt(bytes.fromhex(nonce), envelope.body, bound_to)
    assert json.loads(opened)[0] == ["sesame"]


def test_keys_are_changed_without_losing_a_message() -> None:
    before = encode(MESSAGE, "plain", protection=sealing(KEY))
    during = encode(MESSAGE, "plain", protection=sealing(OTHER, KEY))
    for envelope, keys in ((before, (OTHER, KEY)), (during, (OTHER,)), (during, (KEY, OTHER))):
        assert read(envelope, sealing(*keys)).args == MESSAGE.args
    with pytest.raises(SealError, match=r"sealed with the key \w{8}, which is not among those here \(\w{8}\)"):
        read(before, sealing(OTHER))


def test_without_any_key_a_sealed_body_is_refused_as_what_it_is() -> None:
    envelope = encode(MESSAGE, "plain", protection=both())
    for protection in (None, Protection(Signing([KEY], 60), None, lambda: 0.0)):
        with pytest.raises(SealError, match=r"the body is sealed, and no key is here to open it"):
            read(envelope, protection)


def test_what_is_not_sealed_is_read_where_keys_are_so_that_they_can_be_introduced() -> None:
    assert read(encode(MESSAGE, "plain"), sealing()).args == ["sesame"]


@pytest.mark.parametrize("change", [{"task": "shop.refund"}, {"id": "other"}])
def test_a_body_belongs_to_its_task_and_id(change: dict[str, str]) -> None:
    envelope = encode(MESSAGE, "plain", protection=sealing())
    with pytest.raises(SealError, match="it was altered, or belongs to another task or id"):
        read(with_headers(envelope, **change), sealing())


@pytest.mark.parametrize("seal", [None, 5, "", "v2:{key}:{nonce}", "v1:{key}:00", "v1:{key}:{nonce}\n", []])
def test_what_is_no_seal_is_refused(seal: Any) -> None:
    if isinstance(seal, str):
        seal = seal.format(key=fingerprint(derived(KEY)), nonce="0" * 24)
    envelope = with_headers(encode(MESSAGE, "plain", protection=sealing()), umbel_sealed=seal)
    with pytest.raises((SealError, DecodeError)):
        read(envelope, sealing())


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_change_of_a_sealed_body_is_refused(place: int, change: int) -> None:
    envelope = encode(MESSAGE, "plain", protection=sealing())
    body = bytearray(envelope.body)
    body[place % len(body)] ^= change
    with pytest.raises(SealError, match="the body cannot be opened"):
        read(envelope._replace(body=bytes(body)), sealing())


def test_the_signature_covers_the_seal_and_the_sealed_body() -> None:
    envelope = encode(MESSAGE, "plain", protection=both())
    assert read(envelope, both()).args == ["sesame"]
    other = encode(MESSAGE, "plain", protection=both())
    for changed in (
        envelope._replace(body=other.body),
        with_headers(envelope, umbel_sealed=seal_of(other)),
        with_headers(envelope, umbel_sealed=None),
    ):
        with pytest.raises(SignatureError, match="the signature does not fit"):
            read(changed, both())


@given(st.binary(max_size=60), st.sampled_from([None, "task", "id"]))
def test_any_sealed_bytes_give_an_error_of_the_wire(body: bytes, missing: str | None) -> None:
    headers: dict[str, Any] = {"task": "t", "id": "i", "umbel_sealed": f"v1:{fingerprint(derived(KEY))}:{'0' * 24}"}
    headers.pop(missing or "", None)
    with pytest.raises(WireError):
        read(pack("plain", "i", headers, {}, body, "application/json", "utf-8"), sealing())


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtra, match=r"security_encryption_keys .*pip install 'umbel\[crypto\]'"):
        Sealing([KEY])
