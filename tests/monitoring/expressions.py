"""Finds in PromQL which series are selected and which labels are used, as far as deploy/ uses the language."""

import re

# A metric, by the words that all of them begin with, or `up`; and what stands in braces behind it.
SELECTOR = re.compile(
    r"(?<![\w:.])((?:quash_|job_source:|job_target:|process_)[\w:]+|up|ALERTS)(?![\w:(])\s*(\{[^}]*\})?"
)
GROUPED = re.compile(r"\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)\s*")
STRING = re.compile(r'"[^"]*"')


def selectors(expression):
    """Every selector, as text: `quash_events_total{outcome="done"}`."""
    return {name + braces for name, braces in SELECTOR.findall(expression)}


def labels(text):
    return {label.strip() for label in text.split(",")} - {""}


def grouping(expression):
    """Every label that results are grouped or joined by."""
    return set().union(*(labels(one) for _, one in GROUPED.findall(STRING.sub("", expression))))


def grouped(expression):
    """Of each aggregation: its labels, and the selectors in it, all of which must have them."""
    for match in GROUPED.finditer(expression):
        if match[1] == "by":
            yield labels(match[2]), selectors(in_parentheses(expression[match.end() :]))


def joined(expression):
    """The labels that two sides are joined by."""
    return set().union(*(labels(one) for kind, one in GROUPED.findall(expression) if kind == "on"))


# Alerts that another alert looks at: `ALERTS{alertname=~"QuashLag|QuashWaiting"}`.
LOOKED_AT = re.compile(r'ALERTS\{alertname=~?"([^"]*)"')


def looked_at(expression):
    """The names of all alerts that an expression looks at."""
    return {name for names in LOOKED_AT.findall(expression) for name in names.split("|")}


def less_quiet(expression):
    """Variants of an expression, by what each lacks: one of the reasons for which it is quiet."""
    clauses = at_top(expression, " unless ")
    for at, clause in enumerate(clauses[1:], 1):
        names = sorted(looked_at(clause))
        fewer = [(name, re.sub(rf"\|{name}\b|\b{name}\|", "", clause)) for name in names if len(names) > 1]
        for lacking, rest in fewer or [(clause, None)]:
            kept = [*clauses[:at], *([rest] if rest else []), *clauses[at + 1 :]]
            yield lacking, " unless ".join(kept)


def at_top(text, separator):
    """The parts between separators that stand in no parentheses or braces."""
    parts, depth, begun = [], 0, 0
    for at, letter in enumerate(text):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(letter, 0)
        if depth == 0 and text.startswith(separator, at):
            parts.append(text[begun:at])
            begun = at + len(separator)
    return [*parts, text[begun:]]


def in_parentheses(text):
    depth = 0
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[: at + 1]
    raise AssertionError(f"unbalanced: {text}")


def words(expression):
    """Every other word: a metric under a name that SELECTOR does not know would be among them."""
    bare = GROUPED.sub("", SELECTOR.sub("", STRING.sub("", expression)))
    return set(re.findall(r"(?<![\w$.])[a-zA-Z_:][\w:]*", re.sub(r"\[[^\]]*\]|\boffset\s+\w+", "", bare)))


FUNCTIONS = {
    *("absent", "changes", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time"),
    *("last_over_time", "max_over_time"),
    *("and", "or", "unless", "bool"),
}
