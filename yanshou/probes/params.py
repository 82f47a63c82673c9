"""What the parts of a probe's parameters have in common: nothing unknown is taken, nothing changes. It must never hold a field."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of parameters that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
