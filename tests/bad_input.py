"""What the tests of broken input share: refusing, surviving, and counting how much was tried."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import darknet_py as dn

TRIED = {"inputs": 0}  # every broken input counts itself here; the last test looks


def refused(
    call: Callable[[], Any], kind: type[Exception] = dn.DarknetError, match: str | None = None
) -> str:
    """Asserts that call raises kind, one of ours, with a short message; gives the message."""
    TRIED["inputs"] += 1
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, dn.DarknetError) and not isinstance(caught.value, dn.InternalError), (
        message
    )
    assert message and len(message) < 1000
    if match is not None:
        assert re.search(match, message), f"{match!r} is not in {message!r}"
    return message


def survives(call: Callable[[], Any]) -> bool:
    """Whether call works; one of our exceptions is fine too, anything else is not."""
    TRIED["inputs"] += 1
    try:
        call()
    except dn.DarknetError as error:
        assert not isinstance(error, dn.InternalError) and str(error), repr(error)
        return False
    return True
