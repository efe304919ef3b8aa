"""What bundles state of themselves, in words."""

from seatrial_ci.stated import accuracy_text, parity_text

PARITY = {"samples": 60.0, "sqnr_db": 22.29, "max_abs": 0.70552, "top1_agreement": 59 / 60, "golden_sqnr_db": 26.7}


def test_parity() -> None:
    assert parity_text(PARITY) == "SQNR 22.3 dB, top-1 agreement 98.3 %, largest error 0.71, on 60 samples"
    assert parity_text(PARITY, brief=True) == "SQNR 22.3 dB, top-1 agreement 98.3 %"
    assert parity_text({"samples": 1.0}) == "on 1 sample"
    assert parity_text({}) == "not measured"


def test_the_worst_shape_is_named() -> None:
    assert "at the limits of its shapes 20.0 dB" in parity_text(PARITY | {"corner_shapes_sqnr_db": 20.0})


def test_accuracy_stands_beside_that_of_torch() -> None:
    assert accuracy_text({"top1": 0.925, "top1_torch": 0.93, "mAP": 0.5}) == "top1 0.925 (torch 0.93), mAP 0.5"
    assert accuracy_text({"only_torch": 1.0}) == "only_torch 1"
    assert accuracy_text({}, "-") == "-"
