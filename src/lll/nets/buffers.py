"""Buffers whose shapes are known only once they are fitted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


def take_shapes(part: nn.Module, names: Iterable[str], state: dict[str, Any], prefix: str) -> None:
    """Give buffers of ``part`` the shapes that ``state`` has; what it lacks stays as it is.

    Runs of earlier versions lack some. For a part's ``_load_from_state_dict``.
    """
    for name in names:
        here: Tensor = getattr(part, name)
        saved = state.setdefault(f"{prefix}{name}", here)
        setattr(part, name, here.new_empty(saved.shape))
