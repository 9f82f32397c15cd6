"""Code and documents keep to the rules of `tests/words.py`, which notices what breaks them."""

import pytest

from tests.words import check_docstrings, check_file, check_terms, find_files


def test_code_and_documents_keep_to_the_rules():
    assert [fault for path in find_files() for fault in check_file(path)] == []


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("The clips of a prompt.", "begins with 'The'"),
        ("Whether it is open.", "begins with 'Whether'"),
        ("Returns the clips.", "begins with 'Returns'"),
        ("`x` at the next time.", "no verb"),
        ("Return it.\n\n    Args:\n      seed: of the first clip.\n", "a clause: 'of'"),
        ("Return it.\n\n    Args:\n      a, b: where they are.\n", "a clause: 'where'"),
    ],
)
def test_a_docstring_that_breaks_a_rule_is_found(docstring, fault):
    source = f'class A:\n  def f():\n    """{docstring}"""\n'
    [(line, message)] = check_docstrings(source)
    assert line == 3
    assert fault in message


def test_a_docstring_within_the_rules_is_not():
    good = "Return it.\n\n    Args:\n      seed: seed of the clip.\n      size: pixels per side.\n"
    assert not list(check_docstrings(f'def f():\n    """{good}"""\n'))


@pytest.mark.parametrize(
    "text", ["class Listening", "StageSettings(", "said aloud", "3 is no number", "training.start"]
)
def test_a_term_that_was_replaced_is_found(text):
    assert next(iter(check_terms(f"one line\n{text}\n")))[0] == 2


@pytest.mark.parametrize("text", ["there is no file", "is no longer there", "ResultSettings_x"])
def test_other_terms_are_not(text):
    assert not list(check_terms(text))
