"""Reads a YAML file with the line of every field, so that an error can name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rollover.config.problems import Problem, nearest

PLAIN = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool"))
"""Tags of scalars that always have a value."""
FieldPath = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)


class Document:
    """The content of a file, with the line of each field."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[FieldPath, int] = {(): 1}
        try:
            loader = yaml.CSafeLoader(path.read_text(encoding="utf-8"))  # every task reads these files: libyaml's
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                self.problems.append(Problem(path, 1, "", "is not a mapping of fields to values"))
                return
            self._walk(root, ())
            if not self.problems:
                self.data = loader.construct_document(root)
        except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or str(error)
            self.problems.append(Problem(path, mark.line + 1 if mark else 1, "", f"is not readable as YAML: {what}"))

    def line(self, where: FieldPath) -> int:
        """The line of a field, or of the nearest field around it."""
        while where not in self._lines:
            where = where[:-1]
        return self._lines[where]

    def problem(self, where: FieldPath, message: str, suggestion: str | None = None) -> Problem:
        return Problem(self.path, self.line(where), ".".join(where), message, suggestion)

    def validate(self, model: type[Model]) -> Model | None:
        """Return the file as a model. What does not fit goes to `problems`."""
        if self.problems:
            return None
        try:
            return model.model_validate(self.data)
        except ValidationError as errors:
            self.problems += [self._problem_of(model, error) for error in errors.errors()]
            return None

    def _problem_of(self, model: type[BaseModel], error: Any) -> Problem:
        where = tuple(str(part) for part in error["loc"] if part != "[key]")
        if error["type"] == "extra_forbidden":
            return self.problem(where, "is not a known key", nearest(where[-1], _fields_at(model, where[:-1])))
        if error["type"] == "missing":
            return self.problem(where[:-1], f"lacks the key '{where[-1]}'")
        if error["type"] in ("literal_error", "enum"):
            expected = error["ctx"]["expected"]
            meant = nearest(
                str(error["input"]), (name.strip("' ") for name in expected.replace(" or ", ",").split(","))
            )
            return self.problem(where, f"'{error['input']}' is not one of {expected}", meant)
        return self.problem(where, str(error["msg"]).removeprefix("Value error, "))

    def _walk(self, node: yaml.Node, where: FieldPath) -> None:
        self._lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            self._check_scalar(node, where)
        if isinstance(node, yaml.SequenceNode):
            for n, item in enumerate(node.value):
                self._walk(item, (*where, str(n)))
        if not isinstance(node, yaml.MappingNode):
            return
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                message = f"is there twice, first in line {seen[key.value]}"
                self.problems.append(Problem(self.path, line, ".".join((*where, key.value)), message))
            seen[key.value] = line
            self._lines[(*where, key.value)] = line
            self._walk(value, (*where, key.value))

    def _check_scalar(self, node: yaml.ScalarNode, where: FieldPath) -> None:
        """Build a value. A date that does not exist (2026-06-31) would otherwise be an error without a line."""
        if node.tag in PLAIN:
            return
        try:
            yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            message = f"'{node.value}' is not a value: {error}"
            self.problems.append(Problem(self.path, node.start_mark.line + 1, ".".join(where), message))


def _fields_at(model: type[BaseModel], where: FieldPath) -> list[str]:
    """Return the field names at a place of a model, to find the one that was meant."""
    current: Any = model
    for part in where:
        fields = getattr(current, "model_fields", None)
        if fields is None:
            break
        if part in fields:
            current = _model_in(fields[part].annotation)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """Return the model inside ``dict[str, Model]``, ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
