import pytest

from seatrial_runner.meter import EnergyFigure, energy_per_inference
from seatrial_runner.meter.counters import HwmonEnergyMeter, RaplMeter
from seatrial_runner.records import EnergySample, EnergyWindows, MeterInfo

S = 10**9
COUNTER = MeterInfo(id="rapl:package-0", kind="counter", scope="CPU package-0", path="/x", wraps_at=50_000_000)


def windows(power_w: tuple[float, float, float], inferences: int, wraps_at: int | None = None) -> EnergyWindows:
    """Idle, burst, idle of 10 s each at constant powers; the counter (uJ) starts at 0 and is read at 10 Hz."""
    samples, energy = [], 0.0
    for tick in range(301):
        value = int(energy) % wraps_at if wraps_at else int(energy)
        samples.append(EnergySample(t_ns=tick * S // 10, values=(value,)))
        energy += power_w[min(tick // 100, 2)] * 0.1e6
    edges = [(0, 10 * S), (10 * S, 20 * S), (20 * S, 30 * S)]
    return EnergyWindows(
        counters=(COUNTER.id,),
        idle_before=edges[0],
        burst=edges[1],
        idle_after=edges[2],
        inferences=inferences,
        samples=tuple(samples),
    )


def test_idle_power_is_taken_off():
    figure = energy_per_inference(windows((2, 7, 2), 1000), COUNTER)
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(70, rel=1e-4)  # 7 W x 10 s / 1000
    assert figure.net_mj == pytest.approx(50, rel=1e-4)
    assert figure.idle_mw == pytest.approx(2000, rel=1e-4)


def test_idle_before_and_after_are_averaged():
    figure = energy_per_inference(windows((1, 7, 3), 1000), COUNTER)
    assert isinstance(figure, EnergyFigure)
    assert figure.net_mj == pytest.approx(50, rel=1e-4)


def test_wrap_around_is_undone():
    plain = energy_per_inference(windows((2, 7, 2), 1000), COUNTER)
    assert energy_per_inference(windows((2, 7, 2), 1000, wraps_at=50_000_000), COUNTER) == plain


def test_a_counter_that_runs_backwards_gives_a_reason():
    counter = COUNTER.model_copy(update={"wraps_at": None})
    reason = energy_per_inference(windows((2, 7, 2), 1000, wraps_at=50_000_000), counter)
    assert isinstance(reason, str)
    assert "backwards" in reason


def test_a_dead_counter_gives_a_reason():
    reason = energy_per_inference(windows((0, 0, 0), 1000), COUNTER)
    assert isinstance(reason, str)
    assert "did not move" in reason


def test_unreadable_counter_gives_a_reason():
    dead = windows((2, 7, 2), 1000)
    dead = dead.model_copy(update={"samples": tuple(EnergySample(t_ns=s.t_ns, values=(None,)) for s in dead.samples)})
    assert "0 readings" in str(energy_per_inference(dead, COUNTER))


def test_counters_are_found_in_listings():
    rapl = "rapl\t/sys/class/powercap/intel-rapl:0/energy_uj\tpackage-0\t262143328850"
    assert RaplMeter().counters([rapl, "rapl\t/etc/passwd\tpackage-0\t1"]) == (
        MeterInfo(
            id="rapl:package-0",
            kind="counter",
            scope="CPU package-0",
            path="/sys/class/powercap/intel-rapl:0/energy_uj",
            wraps_at=262143328850,
        ),
    )
    hwmon = "hwmon\t/sys/class/hwmon/hwmon2/energy1_input\tamd_energy\t"
    assert [c.id for c in HwmonEnergyMeter().counters([hwmon, rapl])] == ["hwmon:amd_energy:energy1"]


def test_a_counter_is_named_in_one_word_since_a_job_separates_by_spaces():
    (counter,) = HwmonEnergyMeter().counters(["hwmon\t/sys/class/hwmon/hwmon2/energy1_input\tmy chip\t"])
    assert counter.id == "hwmon:my_chip:energy1"
    assert counter.scope == "rail of my chip"
