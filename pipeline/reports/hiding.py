"""Pages without the folders of whoever made them: of a path its last name is shown."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from features.remote.homes import home_folder, names_only
from pipeline.results.report import Report


@dataclass(frozen=True)
class Hiding:
    """What hides the paths of a report.

    Attributes:
        paths: those that may stand in its sentences, the longest first.
        shows: whether they are shown nevertheless.
    """

    paths: tuple[str, ...]
    shows: bool

    @classmethod
    def of(cls, report: Report, shows: bool) -> "Hiding":
        """Return what hides the paths of a report."""
        entries = report.comparison.ranking.entries
        inputs = [entry.record.inputs for entry in entries]
        named = [
            *(str(source.path) for source in report.sources),
            *(source.location or "" for source in report.sources),
            *(str(facts[name]) for facts in inputs for name in ("file", "source") if name in facts),
            *map(str, report.comparison.config.results),
            str(report.lookup.location or ""),
            *(str(entry.folder) for entry in entries),
        ]
        absolute = {path for path in named if names_only(path) != path}
        around = {str(PurePath(path).parent) for path in absolute if not path.startswith("~")}
        around = {folder for folder in around if len(PurePath(folder).parts) > 1}
        ordered = sorted(absolute | around, key=len, reverse=True)
        return cls(tuple(ordered), shows)

    def text(self, sentence: str) -> str:
        """Return a sentence with the last name of each path."""
        if self.shows:
            return sentence
        for path in self.paths:
            sentence = sentence.replace(path, names_only(path))
        home = home_folder()
        return sentence if home is None else sentence.replace(str(home), "~")

    def command(self, line: str) -> str:
        """Return a command line with the last name of each path."""
        if self.shows:
            return line
        try:
            return shlex.join(map(names_only, shlex.split(line)))
        except ValueError:  # it is none
            return self.text(line)

    def commands(self, lines: Iterable[str]) -> list[str]:
        """Return command lines likewise."""
        return [self.command(line) for line in lines]

    def inside(self, value: Any) -> Any:
        """Return lists, dictionaries and texts with every text likewise."""
        if isinstance(value, dict):
            return {self.inside(key): self.inside(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.inside(each) for each in value]
        return self.text(value) if isinstance(value, str) else value
