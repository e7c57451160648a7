"""JSON text that is valid whatever the names in it: bytes of a path that are not UTF-8 become escapes."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["json_text"]


def json_text(document: Any, indent: int | None = None) -> str:
    """A document as JSON in readable characters; lone surrogates, which have no UTF-8, as \\uXXXX."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
