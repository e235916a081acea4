"""Secrets of URLs are hidden, and the rest stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.settings.masking import mask_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:sesame@localhost:5672//", "amqp://guest:********@localhost:5672//"),
        ("redis://:sesame@host/0", "redis://:********@host/0"),
        ("redis://:p/ss@w?rd@host/0", "redis://:********@host/0"),
        ("amqp://guest@localhost//", "amqp://guest@localhost//"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("sqlite:////srv/a:b@c/umbel.db", "sqlite:////srv/a:b@c/umbel.db"),
        ("memory://", "memory://"),
        ("redis://host/0?password=sesame&db=2", "redis://host/0?password=********&db=2"),
        ("sqs://?aws_secret_access_key=sesame", "sqs://?aws_secret_access_key=********"),
        ("https://host/q?sv=1&sig=sesame", "https://host/q?sv=1&sig=********"),
        ("db+mysql://host/db?PWD=sesame&ssl_keyfile=/etc/key", "db+mysql://host/db?PWD=********&ssl_keyfile=/etc/key"),
        ("mongodb://host/?credentials=sesame#x", "mongodb://host/?credentials=********#x"),
        ("guest:sesame@localhost", "********"),
        ("nothing", "nothing"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@given(
    user=st.text("abcdefgh", max_size=8),
    password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    host=st.sampled_from(["localhost", "10.0.0.1:6379", "[::1]:5672"]),
)
def test_no_password_changes_what_is_shown(user: str, password: str, host: str) -> None:
    assert mask_url(f"redis://{user}:{password}@{host}/0") == f"redis://{user}:********@{host}/0"
