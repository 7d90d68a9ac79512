"""How results of the native module come to those who await them."""

from __future__ import annotations

from asyncio import Future
from typing import Any, Optional


def settle(promise: Future[Any], value: Any, error: Optional[BaseException]) -> None:
    """Ends the waiting; whoever has cancelled it hears nothing."""
    if promise.done():
        return
    if error is None:
        promise.set_result(value)
    else:
        promise.set_exception(error)
