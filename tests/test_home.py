"""`~` in paths."""

import pytest

from cellflax.home import expand_home, expand_home_in


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~", "/h/me"),
        ("~/runs/${name}", "/h/me/runs/${name}"),
        ("a/~/b", "a/~/b"),
        ("~draft", "~draft"),  # a name, not a user's folder
        ("~no-such-user/x", "~no-such-user/x"),
        ("", ""),
    ],
)
def test_only_a_leading_tilde_is_the_home_folder(monkeypatch, text, path):
    monkeypatch.setenv("HOME", "/h/me")
    assert expand_home(text) == path


def test_every_text_of_a_stored_configuration(monkeypatch):
    monkeypatch.setenv("HOME", "/h/me")
    assert expand_home_in({"a": {"b": ["~/x", 1, None]}}) == {"a": {"b": ["/h/me/x", 1, None]}}
