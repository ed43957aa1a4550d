"""Every command of ``rollover`` as typer has it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from rollover.cli import NOUNS, app_of
from rollover.cli.command import Document, document_of

EXAMPLE = "Example: rollover "


@dataclass(frozen=True)
class Command:
    """One command: ``path`` is e.g. ``("hold", "set")``, ``panel`` where the help of ``rollover`` lists it."""

    path: tuple[str, ...]
    panel: str
    command: TyperCommand

    def __str__(self) -> str:
        return " ".join(self.path)

    @property
    def arguments(self) -> list[TyperArgument]:
        return [param for param in self.command.params if isinstance(param, TyperArgument)]

    @property
    def options(self) -> list[TyperOption]:
        return [param for param in self.command.params if isinstance(param, TyperOption)]

    @property
    def example(self) -> list[str]:
        """The words of the example behind ``rollover``."""
        epilog = self.command.epilog or ""
        assert epilog.startswith(EXAMPLE), self
        return shlex.split(epilog.removeprefix(EXAMPLE))

    @property
    def document(self) -> type[Document] | None:
        """What it prints with ``--json``."""
        assert self.command.callback is not None
        return document_of(self.command.callback)


def root() -> TyperGroup:
    """The whole command line."""
    group = get_command(app_of(NOUNS))
    assert isinstance(group, TyperGroup)
    return group


def commands() -> list[Command]:
    """All commands, in the order of the help."""
    return list(_below(root(), (), ""))


def _below(group: TyperGroup, path: tuple[str, ...], panel: str) -> Iterator[Command]:
    for name, command in group.commands.items():
        inside = panel or str(getattr(command, "rich_help_panel", ""))
        if isinstance(command, TyperGroup):
            yield from _below(command, (*path, name), inside)
        else:
            assert isinstance(command, TyperCommand)
            yield Command((*path, name), inside, command)
