"""Every parameter that names a text encoding refuses one that nobody knows, and says which to write."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from yanshou.probes.boundary import BoundaryFile
from yanshou.probes.chain_subjects.spec import Register
from yanshou.probes.devices.tables import TableFile
from yanshou.probes.encodings import Encoding
from yanshou.probes.records.spec import Params as Records


@pytest.mark.parametrize("known", ["utf-8", "utf-8-sig", "gb18030", "GBK"])
def test_known_encodings_stay_as_written(known: str) -> None:
    assert TypeAdapter(Encoding).validate_python(known) == known


@pytest.mark.parametrize("model", [BoundaryFile, Register, TableFile, Records])
def test_an_unknown_encoding_is_refused_at_its_place(model: type) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"file": "a.csv", "encoding": "utf-9"})
    found = {e["loc"]: e["msg"] for e in refused.value.errors()}
    assert "gb18030" in found[("encoding",)]
