"""What the rules of a check share: the sections, the shapes the core found, and the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from .findings import Report
from .sections import Config, Section

#: Detection heads: what they need per anchor besides the classes, where that is fixed.
HEADS = ("yolo", "region", "detection", "Gaussian_yolo")


@dataclass
class Context:
    """A check under way. explained: layers whose failure in the core a rule has already told better.

    nodes: of the network's word tree; label_classes: that labels may have; both None where not known.
    """

    config: Config
    report: Report
    shapes: list[tuple[int, ...] | None] = field(default_factory=list)
    explained: set[int] = field(default_factory=set)
    nodes: int | None = None
    label_classes: int | None = None

    def add(
        self, section: Section, key: str | None, severity: str, code: str, message: str, hint: str = ""
    ) -> None:
        """Adds a finding about a section, at the line of a key of it if one is given."""
        line = section.line_of(key) if key else section.line
        self.report.add(self.config.file, line, severity, code, f"{section.title} {message}", hint)
        if severity == "error":
            self.explained.add(section.index)

    @property
    def heads(self) -> list[Section]:
        """The detection heads."""
        return [section for section in self.config.layers if section.type in HEADS]

    def before(self, section: Section) -> Section | None:
        """The section of the layer before."""
        return self.config.layers[section.index - 1] if section.index > 0 else None

    def shape(self, index: int) -> tuple[int, ...] | None:
        """Output shape of a layer, if the core came that far."""
        return self.shapes[index] if 0 <= index < len(self.shapes) else None

    def input_size(self) -> tuple[int, int]:
        """(width, height) as [net] says, 0 where it does not."""
        return self.config.net.integer("width", 0), self.config.net.integer("height", 0)
