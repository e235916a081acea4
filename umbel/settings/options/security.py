"""Settings of who is believed, and of what others may read."""

from __future__ import annotations

from umbel.settings.keys import ENCRYPTION_KEYS, SIGNING_KEYS
from umbel.settings.kinds import seconds
from umbel.settings.option import Option

OPTIONS = (
    Option(
        "security_signing_keys",
        SIGNING_KEYS,
        (),
        "Sign what is sent, and take nothing that is not signed. The first key signs, each of them verifies.",
        secret=True,
        default_text="none: nothing is signed, everything is taken",
    ),
    Option(
        "security_signing_max_age",
        seconds(zero=False),
        86400.0,
        "How long after it was signed, or after its eta, a message is taken.",
        unit="seconds",
    ),
    Option(
        "security_encryption_keys",
        ENCRYPTION_KEYS,
        (),
        "Encrypt the arguments and links of what is sent; names, headers and results stay readable. The first key "
        "encrypts, each of them decrypts.",
        secret=True,
        default_text="none: nothing is encrypted",
    ),
)
