"""Lays answers out as a table that reads well in a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bench.harness import Answer, Bar, Spread, spread

HEAD = ("question", "unit", "who", "median", "least – most", "ratio", "bar", "met")
RIGHT = frozenset({"median", "least – most", "ratio", "bar"})


def table(answers: Sequence[Answer]) -> str:
    """One line for every contestant of every question; ratios are medians of the rounds' own."""
    rows = [HEAD, *(row for answer in answers for row in rows_of(answer))]
    widths = [max(len(row[index]) for row in rows) for index in range(len(HEAD))]
    rule = ["-" * (width - 1) + ":" if name in RIGHT else "-" * width for name, width in zip(HEAD, widths, strict=True)]
    lines = [rows[0], tuple(rule), *rows[1:]]
    return "\n".join("| " + " | ".join(cells(line, widths)) + " |" for line in lines)


def cells(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The cells, brought to the widths of their columns."""
    return [
        text.rjust(width) if name in RIGHT else text.ljust(width)
        for name, text, width in zip(HEAD, line, widths, strict=True)
    ]


def rows_of(answer: Answer) -> list[tuple[str, ...]]:
    """An answer's lines: the judged contestant first; the verdicts stand beside, one a line."""
    verdicts = [verdict(*each) for each in answer.verdicts]
    rows: list[tuple[str, ...]] = []
    for at, (name, values) in enumerate(answer.values.items()):
        own = spread(values)
        told = (name, figure(own.median), f"{figure(own.least)} – {figure(own.most)}")
        rows.append(("" if at else answer.question, answer.unit, *told, *(verdicts.pop(0) if verdicts else ("",) * 3)))
    return rows + [("",) * 5 + left for left in verdicts]


def verdict(bar: Bar, judged: Spread, met: bool) -> tuple[str, str, str]:
    """Ratio, bar, and whether it is met."""
    said = "yes" if met else "no"
    if bar.against is None:
        return "", f"{bar.sign} {bar.limit:g}", said
    return ratio(judged), f"{bar.sign} {bar.limit:g} × {bar.against}", said


def ratio(judged: Spread) -> str:
    """The median of the ratios, and how far they lie apart."""
    return f"{judged.median:.2f} ({judged.least:.2f} – {judged.most:.2f})"


def figure(value: float) -> str:
    """Three digits or more, and no more than are of use."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
