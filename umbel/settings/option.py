"""What a setting is: its name, what it takes, what holds when nobody sets it, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from umbel.errors import ConfigurationError
from umbel.settings.kinds import NAMES, UNSET, Kind, Unfit
from umbel.settings.masking import MASK, mask_url

ENVIRONMENT_PREFIX = "UMBEL_"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``default`` is a value as ``kind`` keeps it; ``default_text`` says what it stands for, where that
    is more than the value. ``unit`` is what its numbers count. A ``secret`` is never shown."""

    name: str
    kind: Kind
    default: Any
    doc: str
    secret: bool = False
    unit: str | None = None
    default_text: str | None = None

    @property
    def environment_name(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    def accept(self, value: Any, origin: str) -> Any:
        """The value as it is kept, from one that Python or TOML gave.

        Raises ``ConfigurationError`` naming the setting, what it takes and ``origin``.
        """
        return self._convert(self.kind.check, value, value, origin)

    def read(self, text: str, origin: str) -> Any:
        """The value as it is kept, from a text of the environment or the command line. Raises as ``accept``."""
        if not text.strip() and self.kind is not NAMES:
            raise ConfigurationError(f"{self.name}: no value ({origin}); give one, or take it out")
        return self._convert(self.kind.check, self._convert(self.kind.read, text, text, origin), text, origin)

    def show(self, value: Any) -> str:
        """The value as people may see it: no password, no secret."""
        if self.secret and value:
            return MASK
        if value is UNSET:
            return self.default_text or "unset"
        if isinstance(value, str):
            return mask_url(value) if self.kind.private else value
        return repr(list(value)) if isinstance(value, tuple) else repr(value)

    def _convert(self, step: Callable[[Any], Any], value: Any, given: Any, origin: str) -> Any:
        try:
            return step(value)
        except Unfit as unfit:
            got = type(given).__name__ if self.secret or self.kind.private else f"{type(given).__name__} {given!r:.100}"
            hint = f" ({unfit})" if str(unfit) else ""
            raise ConfigurationError(
                f"{self.name}: expected {self.kind.expects}, got {got}{hint}; correct it there: {origin}"
            ) from None
