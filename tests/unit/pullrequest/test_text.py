from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pullrequest.text import one_line, printable


@given(st.text(), st.integers(3, 300))
def test_printable_text_is_one_line_and_within_its_bytes(text: str, max_bytes: int) -> None:
    shown = printable(text, max_bytes)

    assert len(shown.encode()) <= max_bytes
    assert all(character.isprintable() for character in shown)


def test_a_long_path_keeps_its_end() -> None:
    shown = printable(f"src/{'x' * 500}/main.py", 40)

    assert shown.startswith("src/")
    assert shown.endswith("/main.py")
    assert "…" in shown


def test_characters_with_an_effect_are_replaced() -> None:
    assert one_line("a\nb\x1b[31m\u202egnp.exe\ud800") == "a\ufffdb\ufffd[31m\ufffdgnp.exe\ufffd"
    assert one_line("Grüße, 世界 🙂") == "Grüße, 世界 🙂"
