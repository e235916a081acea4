"""Values to bytes and back, by serializer: json, msgpack, yaml, pickle, and raw or text for what needs none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from umbel.errors import ContentDisallowed, DecodeError, MissingExtra, UnknownOption
from umbel.serial.blame import MAX_STEPS, in_short, unwritable
from umbel.serial.dialect import MAX_CONTAINERS, read_json, write_json
from umbel.serial.tame_yaml import package as yaml_package
from umbel.serial.tame_yaml import read_yaml

__all__ = ["accepted", "content_type_of", "dumps", "loads", "read_json", "serializer_of", "write_json"]

PICKLED = "application/x-python-serialize"
"""The content type whose reading runs code that its bytes name."""

HARMLESS = frozenset({"application/data", "application/text"})
"""Content types that are read whatever is accepted: they give str or bytes and nothing else."""


def dumps(value: Any, serializer: str, name: str = "value") -> tuple[str, str, bytes]:
    """Write ``value``; return its content type, content encoding and bytes.

    ``name`` is what error messages call the value. Raises ``EncodeError`` that says which part of the value cannot be
    written, ``UnknownOption`` for a serializer that does not exist, ``MissingExtra`` for one that is not installed.
    """
    if serializer == "json":
        return "application/json", "utf-8", write_json(value, name).encode()
    kind = _by_name(serializer)
    try:
        encoding, data = kind.write(value)
    except MissingExtra:
        raise
    except Exception as error:  # writing runs the values' own code, which may raise anything
        raise unwritable(value, name, serializer, kind.write, error, kind.steps) from error
    return kind.content_type, encoding, data


def loads(data: bytes, content_type: str, content_encoding: str, accept: frozenset[str]) -> Any:
    """Read what ``dumps`` wrote; ``accept`` holds the content types that may be looked at.

    Raises ``ContentDisallowed`` before looking at bytes of another type, ``DecodeError`` when they are not what their
    type says, ``MissingExtra`` when the package that reads them is not installed.
    """
    if content_type not in accept and content_type not in HARMLESS:
        names = ", ".join(sorted(accept)) or "none"
        raise ContentDisallowed(
            f"content type {content_type[:80]!r} is not accepted here (accepted: {names}); "
            "name it in accept_content if its senders are trusted"
        )
    if content_type == "application/json":
        return read_json(_text(data, content_encoding), "body")
    kind = _BY_TYPE.get(content_type)
    if kind is None:
        raise DecodeError("content-type", f"nothing here reads {content_type[:80]!r}")
    try:
        return kind.read(data, content_encoding)
    except (MissingExtra, DecodeError):
        raise
    except (Exception, SystemExit) as error:  # readers of foreign bytes raise whatever their conversions raise
        raise DecodeError("body", f"is not {kind.name}: {in_short(error)}") from error


def content_type_of(name: str) -> str:
    """The content type of a serializer; a content type names itself. Raises ``UnknownOption``."""
    return name if name in _BY_TYPE else _by_name(name).content_type


def serializer_of(content_type: str) -> str:
    """The serializer that writes a content type. Raises ``UnknownOption``."""
    kind = _BY_TYPE.get(content_type)
    if kind is None:
        raise UnknownOption("content type", content_type, _BY_TYPE)
    return kind.name


def accepted(names: Iterable[str]) -> frozenset[str]:
    """The content types that ``names`` (serializers or content types) allow.

    Raises ``UnknownOption`` for a name that is neither, ``MissingExtra`` for one whose package is not installed.
    """
    types = frozenset(content_type_of(name) for name in names)
    for content_type in types:
        _BY_TYPE[content_type].ready()
    return types


_CODECS = {
    **dict.fromkeys(("utf-8", "utf8", "binary", "us-ascii", "ascii", ""), "utf-8"),
    **dict.fromkeys(("latin-1", "iso-8859-1"), "latin-1"),
    "utf-16": "utf-16",
}
"""Content encodings in use. Python's other codecs are left out: some take quadratic time on hostile text."""


def _text(data: bytes, encoding: str) -> str:
    codec = _CODECS.get(encoding.lower())
    if codec is None:
        raise DecodeError("content-encoding", f"unknown encoding {encoding[:80]!r}")
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise DecodeError("body", f"is not {codec} text: {error.reason} at byte {error.start}") from error


class _Kind(NamedTuple):
    """``write`` returns content encoding and bytes; ``read`` takes bytes and content encoding.

    ``ready`` raises ``MissingExtra`` where the package is missing; ``steps`` is how deep the blame is sought.
    """

    name: str
    content_type: str
    write: Callable[[Any], tuple[str, bytes]]
    read: Callable[[bytes, str], Any]
    ready: Callable[[], Any] = lambda: None
    steps: int = MAX_STEPS


def _msgpack() -> Any:
    try:
        import msgpack  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtra("the serializer msgpack", "msgpack") from None
    return msgpack


_CONTAINER_MARKS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
"""The bytes with which a msgpack array or map begins; inside text and numbers they mean something else."""


def _read_msgpack(data: bytes) -> Any:
    msgpack = _msgpack()
    hooks = {}
    if len(data) > MAX_CONTAINERS and len(data) - len(data.translate(None, _CONTAINER_MARKS)) > MAX_CONTAINERS:
        hooks = dict.fromkeys(("object_hook", "list_hook"), _counter())
    return msgpack.unpackb(data, raw=False, strict_map_key=False, **hooks)


def _counter() -> Callable[[Any], Any]:
    """What gives each container back as it is, until there are too many."""
    left = MAX_CONTAINERS

    def count(container: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise DecodeError("body", f"has more than {MAX_CONTAINERS} lists and tables")
        return container

    return count


def _read_yaml(data: bytes, encoding: str) -> Any:
    yaml_package()
    return read_yaml(_text(data, encoding))


def _write_pickle(value: Any) -> tuple[str, bytes]:
    import pickle

    return "binary", pickle.dumps(value, protocol=4)


def _read_pickle(data: bytes, encoding: str) -> Any:
    import pickle

    return pickle.loads(data)


def _write_raw(value: Any) -> tuple[str, bytes]:
    return ("binary", value) if isinstance(value, bytes) else _write_text(value)


def _write_text(value: Any) -> tuple[str, bytes]:
    if not isinstance(value, str):
        raise TypeError("it is not text")
    return "utf-8", value.encode()


def _read_raw(data: bytes, encoding: str) -> str | bytes:
    return data if encoding == "binary" else _text(data, encoding)


_KINDS = (
    _Kind(
        "json",
        "application/json",
        lambda value: ("utf-8", write_json(value).encode()),
        lambda data, encoding: read_json(_text(data, encoding), "body"),
    ),
    _Kind(
        "msgpack",
        "application/x-msgpack",
        lambda value: ("binary", _msgpack().packb(value, use_bin_type=True)),
        lambda data, _: _read_msgpack(data),
        _msgpack,
    ),
    _Kind(
        "yaml",
        "application/x-yaml",
        lambda value: ("utf-8", yaml_package().safe_dump(value).encode()),
        _read_yaml,
        yaml_package,
    ),
    _Kind("pickle", PICKLED, _write_pickle, _read_pickle),
    _Kind("raw", "application/data", _write_raw, _read_raw, steps=0),
    _Kind("text", "text/plain", _write_text, _text, steps=0),
)
_BY_NAME = {kind.name: kind for kind in _KINDS}
_BY_TYPE = {kind.content_type: kind for kind in _KINDS} | {"application/text": _BY_NAME["raw"]}


def _by_name(serializer: str) -> _Kind:
    kind = _BY_NAME.get(serializer)
    if kind is None:
        raise UnknownOption("serializer", serializer, _BY_NAME)
    return kind
