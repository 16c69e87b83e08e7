"""Counts in messages: "1 episode is", "2 episodes are"."""

from __future__ import annotations


def counted(count: int, noun: str, form: str = "") -> str:
    """A count with what is counted, in the plural unless it is one.

    Args:
      count: how many.
      noun: one of them, such as ``"episode"``; words after the first come behind its plural:
        ``"number of the observation"``.
      form: how the count is written, as in a format string.
    """
    first, space, rest = noun.partition(" ")
    return f"{count:{form}} {first}{'' if count == 1 else 's'}{space}{rest}"


def agree(count: int, one: str, several: str) -> str:
    """The form of a word that goes with a count, such as "is" or "are"."""
    return one if count == 1 else several
