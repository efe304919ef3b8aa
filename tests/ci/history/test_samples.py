import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_ci.history.samples import Packed, pack, unpack


@given(st.lists(st.integers(0, 2**63 - 1)))
def test_what_is_packed_comes_back(samples):
    assert unpack(pack(samples)) == samples


@pytest.mark.parametrize(("top", "dtype"), [(2**32 - 1, "uint32"), (2**32, "uint64")])
def test_four_bytes_where_they_suffice(top, dtype):
    assert pack([1, top]).dtype == dtype


def test_it_is_smaller_than_the_numbers():
    assert len(pack([3_000_000 + i % 100 for i in range(10_000)]).data) < 20_000


@pytest.mark.parametrize("change", [{"data": b"junk"}, {"count": 5}, {"dtype": "object"}])
def test_damage_is_an_error(change):
    with pytest.raises(ValueError, match=r"damaged|unknown"):
        unpack(dataclasses.replace(pack([1, 2, 3]), **change))


def test_nothing_is_packed_too():
    assert unpack(pack([])) == []
    assert isinstance(pack([]), Packed)


def test_all_samples_of_an_arm_are_channels():
    """A series that is not one would swell the document, and be missed by the retention of samples."""
    from seatrial_ci.history.document import CHANNELS
    from seatrial_runner.records import ArmResult

    series = {name for name, field in ArmResult.model_fields.items() if name.endswith("_ns") and field.default == ()}
    assert series == set(CHANNELS)
