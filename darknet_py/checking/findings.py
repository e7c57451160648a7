"""What a check found: findings with file, line, severity, message and hint; the report that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

#: error: it cannot work. warning: it runs, but probably not as meant. note: worth knowing.
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing found. line 0 means the whole file; code names the rule."""

    file: str
    line: int
    severity: str
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.severity}: {self.message}" + (f"; {self.hint}" if self.hint else "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }


@dataclass(frozen=True)
class LayerShape:
    """A row of the shape trace. shape is (c, h, w) or (outputs,), None behind the layer where it breaks."""

    index: int
    type: str
    line: int
    shape: tuple[int, ...] | None


@dataclass
class Report:
    """All findings, in the order of files and lines once sorted, and the shapes of the layers."""

    findings: list[Finding] = field(default_factory=list)
    shapes: list[LayerShape] = field(default_factory=list)

    def add(self, file: str, line: int, severity: str, code: str, message: str, hint: str = "") -> None:
        """Adds a finding."""
        self.findings.append(Finding(file, line, severity, code, message, hint))

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def errors(self) -> list[Finding]:
        """What keeps the network from working."""
        return self.of("error")

    @property
    def warnings(self) -> list[Finding]:
        """What probably is not as meant."""
        return self.of("warning")

    def sort(self) -> None:
        """By file, in the order in which files came, then by line."""
        files = list(dict.fromkeys(finding.file for finding in self.findings))
        self.findings.sort(key=lambda f: (files.index(f.file), f.line, SEVERITIES.index(f.severity)))

    def status(self, strict: bool = False) -> int:
        """Exit status: 1 with errors, or with warnings too if strict; else 0."""
        return int(bool(self.errors or (strict and self.warnings)))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [finding.to_dict() for finding in self.findings],
            "layers": [
                {
                    "index": row.index,
                    "type": row.type,
                    "line": row.line,
                    "shape": None if row.shape is None else list(row.shape),
                }
                for row in self.shapes
            ],
        }


MOST_LISTED = 5  # findings of one kind that are told one by one


@dataclass
class _Kind:
    first: list[Finding] = field(default_factory=list)
    count: int = 0


class Several:
    """Findings that may come by the million: the first of each code are kept, the others counted."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    def add(self, place: tuple[str, int], severity: str, code: str, message: str, hint: str = "") -> None:
        """Adds a finding. place: file and line."""
        kind = self._kinds.setdefault(code, _Kind())
        kind.count += 1
        if len(kind.first) < MOST_LISTED:
            kind.first.append(Finding(*place, severity, code, message, hint))

    def more(self, code: str, count: int) -> None:
        """Counts further ones of a code that was added."""
        self._kinds[code].count += count

    def count(self, code: str) -> int:
        """How many of a code there were."""
        return self._kinds[code].count if code in self._kinds else 0

    def as_severity(self, code: str, severity: str) -> None:
        """Says how bad a code is, which may depend on how many there were."""
        if code in self._kinds:
            kind = self._kinds[code]
            kind.first = [replace(one, severity=severity) for one in kind.first]

    def into(self, report: Report, file: str) -> None:
        """Adds all to a report; after those that are told, a line of `file` says how many more."""
        for code, kind in self._kinds.items():
            report.findings += kind.first
            if more := kind.count - len(kind.first):
                message = f"{more} more like the {len(kind.first)} before ({code}), {kind.count} in all"
                report.add(file, 0, kind.first[0].severity, code, message)
