import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.meter import EnergyFigure, energy_per_inference, sample_period_ns
from seatrial_runner.meter.counters import HwmonEnergyMeter, RaplMeter
from seatrial_runner.meter.energy import aligned
from seatrial_runner.records import Channel, EnergySample, EnergyWindows, MeterInfo

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
    assert RaplMeter().find([rapl, "rapl\t/etc/passwd\tpackage-0\t1"]) == [
        MeterInfo(
            id="rapl:package-0",
            kind="counter",
            scope="CPU package-0",
            path="/sys/class/powercap/intel-rapl:0/energy_uj",
            wraps_at=262143328850,
            resolution="1 uJ per step",
        ),
    ]
    hwmon = "hwmon\t/sys/class/hwmon/hwmon2/energy1_input\tamd_energy\t"
    assert [c.id for c in HwmonEnergyMeter().find([hwmon, rapl])] == ["hwmon:amd_energy:energy1"]


def test_a_counter_is_named_in_one_word_since_a_job_separates_by_spaces():
    (counter,) = HwmonEnergyMeter().find(["hwmon\t/sys/class/hwmon/hwmon2/energy1_input\tmy chip\t"])
    assert counter.id == "hwmon:my_chip:energy1"
    assert counter.scope == "rail of my chip"


def power_windows(rails: dict[str, tuple[float, float]], hz: float, inference_s: float, kind: str, seconds: int = 10):
    """Idle and burst watts of each rail, read at ``hz`` as power in uW; within an inference the power is a square."""
    channels = [Channel(name=name, quantity="power", counters=(name,), paths=(f"/{name}",)) for name in rails]
    meter = MeterInfo(id="rails", kind=kind, scope="board", channels=tuple(channels))
    samples, edges = [], [(i * seconds * S, (i + 1) * seconds * S) for i in range(3)]
    for i in range(int(3 * seconds * hz) + 1):
        t = i / hz
        busy = seconds <= t < 2 * seconds
        # Half of each inference at twice the power of the burst, the other half at none.
        high = (
            2.0
            if kind == "point" and busy and (t % inference_s) < inference_s / 2
            else 1.0 - (kind == "point" and busy)
        )
        watts = [burst * high if busy else idle for idle, burst in rails.values()]
        samples.append(EnergySample(t_ns=int(t * S), values=tuple(int(w * 1e6) for w in watts)))
    windows = EnergyWindows(
        counters=tuple(rails),
        idle_before=edges[0],
        burst=edges[1],
        idle_after=edges[2],
        inferences=round(seconds / inference_s),
        samples=tuple(samples),
    )
    return windows, meter


def test_power_is_integrated_and_rails_are_added_up():
    windows, meter = power_windows({"cpu": (1, 5), "gpu": (1, 2)}, 100, 0.01, "averaging")
    figure = energy_per_inference(windows, meter)
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(70, rel=0.01)  # 7 W x 10 ms
    assert figure.net_mj == pytest.approx(50, rel=0.01)
    assert figure.doubts == ()


def test_a_rail_outside_the_total_is_left_out():
    windows, meter = power_windows({"in": (1, 5), "cpu": (1, 2)}, 100, 0.01, "averaging")
    inside = [c.model_copy(update={"in_total": c.name == "in"}) for c in meter.channels]
    figure = energy_per_inference(windows, meter.model_copy(update={"channels": tuple(inside)}))
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(50, rel=0.01)


def test_voltage_times_current():
    """An INA3221 tells mV and mA: 5000 mV x 400 mA is 2 W."""
    rail = Channel(name="VDD_IN", quantity="voltage and current", counters=("v", "i"), paths=("/v", "/i"), scale=1.0)
    meter = MeterInfo(id="ina3221", kind="averaging", scope="module", channels=(rail,))
    samples = [EnergySample(t_ns=i * S // 10, values=(5000, 400 if 100 <= i < 200 else 200)) for i in range(301)]
    windows = EnergyWindows(
        counters=("v", "i"),
        idle_before=(0, 10 * S),
        burst=(10 * S, 20 * S),
        idle_after=(20 * S, 30 * S),
        inferences=1000,
        samples=tuple(samples),
    )
    figure = energy_per_inference(windows, meter)
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(20, rel=0.02)
    assert figure.net_mj == pytest.approx(10, rel=0.03)


def test_slow_point_readings_are_refused():
    reason = energy_per_inference(*power_windows({"rail": (1, 5)}, 10, 0.033, "point"))
    assert "alias" in str(reason)


def test_point_readings_in_step_with_the_inferences_are_refused():
    """100 Hz and 100 inferences a second: always the same moment, here that of twice the power."""
    reason = energy_per_inference(*power_windows({"rail": (1, 5)}, 100, 0.01, "point"))
    assert "keep step" in str(reason)


def test_point_readings_out_of_step_are_right():
    windows, meter = power_windows({"rail": (1, 5)}, 137, 0.033, "point")
    figure = energy_per_inference(windows, meter)
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(5 * 33, rel=0.02)


def test_a_gap_in_power_is_no_figure():
    windows, meter = power_windows({"rail": (1, 5)}, 10, 0.033, "averaging")
    gap = tuple(s for s in windows.samples if not 12 * S < s.t_ns < 15 * S)
    assert "told nothing for 3.0 s" in str(energy_per_inference(windows.model_copy(update={"samples": gap}), meter))


def test_short_windows_and_restless_idle_are_doubts():
    windows, meter = power_windows({"rail": (1, 5)}, 100, 0.01, "averaging", seconds=2)
    figure = energy_per_inference(windows, meter.model_copy(update={"doubt": "the whole phone"}))
    assert isinstance(figure, EnergyFigure)
    assert figure.doubts == ("the whole phone", "a window was only 2.0 s long; 10 s are needed")
    restless = energy_per_inference(windows_of_idle(1, 3), COUNTER)
    assert isinstance(restless, EnergyFigure)
    assert "the idle power was 1000 mW before and 3000 mW after" in restless.doubts


def windows_of_idle(before: float, after: float) -> EnergyWindows:
    return windows((before, 7, after), 1000)


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.2))
def test_alignment_is_between_none_and_all(step: float, period: float):
    times = [round(i * step * S) for i in range(200)]
    assert 0 <= aligned(times, period * S) <= 1 + 1e-9
    assert aligned([round(i * period * S) for i in range(200)], period * S) == pytest.approx(1, abs=0.01)


def test_power_is_read_faster_than_a_counter_and_point_power_out_of_step():
    def info(kind: str, hz: float | None = None) -> MeterInfo:
        return MeterInfo(id="m", kind=kind, scope="s", rate_hz=hz)

    assert sample_period_ns(info("counter"), S // 10) == S // 10
    assert sample_period_ns(info("averaging", 50), S // 10) == S // 100
    assert sample_period_ns(info("averaging", 1), S // 10) == S // 10
    assert 1e9 / sample_period_ns(info("point"), S // 10) > 100
