"""Edits the text of a district file: one date, and nothing else, so that comments and order stay.

Nothing is written. The edited text is read again, and compared with what it should say.
"""

from __future__ import annotations

import difflib
from datetime import date
from typing import Any

import yaml

from rollover.errors import Refused

CONTEXT = 3
"""Lines around a change in a diff."""


def with_reset_date(text: str, product: str, school_year: str, day: date) -> str:
    """The text of a district file in which one school year has an own reset date.

    Raises Refused if the text cannot be edited so that only that date differs: it uses anchors, or no plain mappings.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    tenant = _child(_child(root, "products"), product)
    if not isinstance(tenant, yaml.MappingNode):
        raise _not_edited(product)
    dates = _child(tenant, "reset_dates")
    old = _child(dates, school_year)
    if old is not None:
        edited = f"{text[: old.start_mark.index]}{day}{text[old.end_mark.index :]}"
    elif isinstance(dates, yaml.MappingNode):
        edited = _insert(text, dates, school_year, f"{school_year}: {day}")
    else:
        edited = _insert(text, tenant, None, f"reset_dates: {{{school_year}: {day}}}")
    if not _says(edited, text, product, school_year, day):
        raise _not_edited(product)
    return edited


def _not_edited(product: str) -> Refused:
    return Refused(f"The part about {product} is not written plainly enough to be edited here.", "edit it by hand.")


def _says(edited: str, text: str, product: str, school_year: str, day: date) -> bool:
    """Whether the edited text says the same as the other one, but for the one date."""
    try:
        found, wanted = yaml.safe_load(edited), _copy(yaml.safe_load(text))
    except yaml.YAMLError:
        return False
    wanted["products"][product].setdefault("reset_dates", {})[school_year] = day
    return bool(found == wanted)


def _copy(value: Any) -> Any:
    """The same value in which no part is there twice: YAML reads an anchor and its aliases as one object."""
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key in a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _insert(text: str, mapping: yaml.MappingNode, key: str | None, entry: str) -> str:
    """The text with another entry in a mapping: in the order of the keys, or after all others if `key` is None."""
    before = [value for name, value in mapping.value if key is None or name.value < key]
    if mapping.flow_style:
        return _insert_in_braces(text, mapping, before, entry)
    indent = " " * mapping.start_mark.column
    if not before:  # the first key of a block stands where the block begins
        at = mapping.start_mark.index
        return f"{text[:at]}{entry}\n{indent}{text[at:]}"
    end = text.find("\n", _last_sign(before[-1]))
    at = len(text) if end < 0 else end
    return f"{text[:at]}\n{indent}{entry}{text[at:]}"


def _insert_in_braces(text: str, mapping: yaml.MappingNode, before: list[yaml.Node], entry: str) -> str:
    if before:
        at = before[-1].end_mark.index
        return f"{text[:at]}, {entry}{text[at:]}"
    at = mapping.start_mark.index + 1
    return f"{text[:at]}{entry}{', ' if mapping.value else ''}{text[at:]}"


def _last_sign(node: yaml.Node) -> int:
    """The place after the last sign of a node. That of a block is behind the empty lines and remarks after it."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _last_sign(last[1] if isinstance(node, yaml.MappingNode) else last)


def diff(text: str, edited: str, name: str) -> str:
    """The change of a file as ``git apply`` takes it. Lines about contacts are not shown around it."""
    lines, changed = text.splitlines(keepends=True), edited.splitlines(keepends=True)
    hidden = _contact_lines(text, lines)
    for context in range(CONTEXT, -1, -1):
        found = list(difflib.unified_diff(lines, changed, f"a/{name}", f"b/{name}", n=context))
        if not any(line.startswith(" ") and line[1:] in hidden for line in found):
            break
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found)


def _contact_lines(text: str, lines: list[str]) -> set[str]:
    """The lines that name the district's contacts."""
    contacts = _child(yaml.compose(text, yaml.SafeLoader), "contacts")
    if contacts is None:
        return set()
    return {line for line in lines[contacts.start_mark.line : contacts.end_mark.line + 1] if line.strip()}
