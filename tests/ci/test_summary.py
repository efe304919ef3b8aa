import pytest

from seatrial_ci.summary import Summary, summarise
from seatrial_runner.records import EnergySample, EnergyWindows, MeterInfo

MS = 1_000_000
SECOND = 1_000_000_000


def figures(trial, role="candidate"):
    return next(b for b in summarise(trial).bundles if b.role == role)


def test_percentiles_lie_within_their_intervals(maker):
    found = figures(maker.solos(5, n=200).trial()).latency
    for key in ("p50", "p90"):
        assert found[key].low < found[key].value < found[key].high
        assert found[key].runs == 5
    assert found["p50"].value == pytest.approx(10 * MS, rel=0.02)
    assert found["p50"].value < found["p90"].value


def test_a_percentile_without_support_is_a_reason_and_not_a_number(maker):
    found = figures(maker.solos(5, n=50).trial()).latency
    assert found["p50"].value is not None
    assert found["p90"].value is None
    assert "64" in found["p90"].reason
    assert "1000" in found["p99"].reason


def test_one_run_says_that_it_is_one(maker):
    found = figures(maker.solos(1).trial()).latency["p50"]
    assert found.within_run
    assert found.runs == 1
    assert found.low <= found.value <= found.high


def test_p99_over_fewer_than_ten_runs_is_a_reason(maker):
    found = figures(maker.solos(3, n=1000).trial()).latency["p99"]
    assert found.value is None
    assert "10 runs" in found.reason


def test_each_bundle_has_its_own_figures(maker):
    maker.solos(3).solos(3, 20 * MS, bundle="baseline")
    trial = maker.trial()
    assert figures(trial).latency["p50"].value == pytest.approx(10 * MS, rel=0.02)
    assert figures(trial, "baseline").latency["p50"].value == pytest.approx(20 * MS, rel=0.02)
    assert [b.role for b in summarise(trial).bundles] == ["candidate", "baseline"]


def test_what_was_not_measured_says_why(maker):
    found = figures(maker.trial(baseline=False, unmeasured={"energy": "no counter"}))
    assert found.energy.reason == "no counter"
    assert found.peak_memory.reason == "no memory run was made"
    assert found.latency["p50"].reason == "no solo run was made"


def test_memory_and_cold_load(maker):
    maker.solos(3)
    maker.memory(100_000_000)
    found = figures(maker.trial())
    assert found.peak_memory.value == 100_000_000
    assert found.cold_load.value == 25 * MS
    assert found.cold_load.low == found.cold_load.high == 25 * MS


def test_net_energy_per_inference(maker):
    """1 W idle, 3 W in a burst of 10 s with 1000 inferences: 20 mJ net each."""
    times = range(31)
    power = [1 if t < 10 or t >= 20 else 3 for t in times]
    counter = [sum(power[:t]) * 1_000_000 for t in times]
    samples = tuple(EnergySample(t_ns=t * SECOND, values=(c,)) for t, c in zip(times, counter, strict=True))
    windows = EnergyWindows(
        counters=("rapl:package-0",),
        idle_before=(0, 10 * SECOND),
        burst=(10 * SECOND, 20 * SECOND),
        idle_after=(20 * SECOND, 30 * SECOND),
        inferences=1000,
        samples=samples,
    )
    maker.run("energy", {"a": "candidate"}, maker.result(energy=windows))
    meter = MeterInfo(id="rapl:package-0", kind="counter", scope="CPU package-0", path="/sys/x")
    trial = maker.trial(meter=meter)
    assert figures(trial).energy.value == pytest.approx(20.0)
    assert summarise(trial).meter == "rapl:package-0 (counter, CPU package-0)"


def test_it_survives_json(maker):
    found = summarise(maker.solos(1, n=64).trial())
    assert Summary.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("engine", "peak"), [(5 * MS, 900 * MS), (None, 30 * MS)])
def test_where_a_gpu_shares_the_memory_the_peak_is_the_machines(maker, engine, peak):
    """On a CPU the rise of the whole machine is mostly what others did; the process knows its own."""
    maker.memory(30 * MS)
    result = maker.runs[-1].result
    memory = result.memory.model_copy(update={"system_peak_delta": 900 * MS, "engine_bytes": engine})
    maker.runs[-1] = maker.runs[-1].model_copy(update={"result": result.model_copy(update={"memory": memory})})
    assert figures(maker.trial(baseline=False)).peak_memory.value == peak


def test_a_machine_whose_use_of_memory_did_not_rise_tells_no_peak_of_a_gpu(maker):
    """And that of the process, which lacks what the GPU takes, is not given in its place."""
    maker.memory(30 * MS)
    result = maker.runs[-1].result
    memory = result.memory.model_copy(update={"system_peak_delta": 0, "engine_bytes": 5 * MS})
    maker.runs[-1] = maker.runs[-1].model_copy(update={"result": result.model_copy(update={"memory": memory})})
    found = figures(maker.trial(baseline=False)).peak_memory
    assert found.value is None
    assert "something else there gave memory back meanwhile" in found.reason
