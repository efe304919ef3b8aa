"""When a run may begin, and when it must not count. The states are made up: heat and throttling need hardware."""

from __future__ import annotations

from typing import Any

import pytest

from seatrial_runner.attempts import UNSEEN, Attempts, RunFailedError
from seatrial_runner.condition.window import WAITING, Watch, hottest, not_ready, others_load, spoiled
from seatrial_runner.plan import Event, Plan
from seatrial_runner.records import AgentFailure, AgentResult, DeviceState, Run
from seatrial_runner.run import RunRequest
from seatrial_targets.errors import AgentError, DeadlineError, DeviceError, LinkLostError, UnfitStateError
from seatrial_targets.window import Window

COOL = Window(start_below_c=60, end_below_c=80, others_load=0.25, least_battery=0.25)
OK = AgentResult(agent="native", agent_version="2", status="ok", cpu_total_ns=10**9)


def state(**fields: Any) -> DeviceState:
    return DeviceState(unix_ns=1, **fields)


def warm(degrees: float) -> DeviceState:
    return state(temperatures_c={"thermal_zone0 cpu": degrees})


def busy(busy_s: float, total_s: float) -> DeviceState:
    return state(cpu_busy=busy_s, cpu_total=total_s)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (warm(59.9), ""),
        (warm(60), "thermal_zone0 cpu is at 60 C, and below 60 C is wanted"),
        (state(), ""),  # what a device does not tell is no reason to wait for ever
        (state(throttled=True), "the device is throttled"),
        (state(thermal_status=1), "its thermal status is 1"),
        (state(thermal_status=0), ""),
        (state(battery_percent=24.0, charging=False), "its battery is at 24 %, and 25 % is wanted"),
        (state(battery_percent=24.0, charging=True), ""),
        (state(temperatures_c={"thermal_zone0 modem": -256.0, "thermal_zone1 off": 999.0}), ""),
    ],
)
def test_a_run_begins_only_in_its_window(now: DeviceState, says: str):
    assert not_ready(now, COOL).startswith(says)
    assert bool(not_ready(now, COOL)) == bool(says)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, {}, ""),
        ({"boot_id": "a"}, {"boot_id": "b"}, "restarted"),
        ({}, {"throttled": True}, "throttled at its end"),
        ({"throttle_events": 3}, {"throttle_events": 4}, "throttled meanwhile"),
        ({"throttle_events": 3}, {"throttle_events": 3}, ""),
        ({}, {"thermal_status": 2}, "thermal status rose to 2"),
        ({}, {"temperatures_c": {"z": 80.0}}, "z was at 80 C at its end"),
        ({"charging": True}, {"charging": False}, "ceased to charge"),
        ({"charging": False}, {"charging": True}, "began to charge"),
        ({"governors": {"policy0": "performance"}}, {"governors": {"policy0": "powersave"}}, "governor of policy0"),
        ({"governors": {"policy4": "performance"}}, {"governors": {}}, ""),  # a cluster that was switched off
    ],
)
def test_a_run_that_left_its_window_is_void(before: dict[str, Any], after: dict[str, Any], says: str):
    reasons = list(spoiled(state(**before), state(**after), COOL))
    assert len(reasons) == bool(says)
    assert all(says in reason for reason in reasons)


def test_zones_are_chosen_by_number_or_name():
    seen = state(temperatures_c={"thermal_zone0 cpu-thermal": 50.0, "thermal_zone1 wifi": 90.0})
    assert hottest(seen, Window()) == ("thermal_zone1 wifi", 90.0)
    assert hottest(seen, Window(zones=("cpu*",))) == ("thermal_zone0 cpu-thermal", 50.0)
    assert hottest(seen, Window(zones=("thermal_zone1",))) == ("thermal_zone1 wifi", 90.0)
    assert hottest(seen, Window(zones=("gpu*",))) is None


def test_others_load_is_what_the_run_did_not_use_itself():
    # 4 CPUs for 10 s: 40 s, of which 16 were busy, 6 of them ours.
    assert others_load(busy(100, 1000), busy(116, 1040), 6 * 10**9) == pytest.approx(0.25)
    assert others_load(busy(100, 1000), busy(101, 1040), 6 * 10**9) == 0  # ticks are coarse
    assert others_load(busy(100, 1000), busy(116, 1040), None) is None
    assert others_load(busy(1, 2), busy(1, 2), 0) is None
    assert others_load(state(), busy(1, 2), 0) is None


class Device:
    """Tells the states that it was given, then the last one for ever."""

    def __init__(self, *states: DeviceState) -> None:
        self.states, self.told = list(states), 0

    def read(self) -> DeviceState:
        self.told += 1
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


def watch(device: Device, window: Window = COOL, events: list[Event] | None = None) -> Watch:
    return Watch("pi", window, device.read, (events if events is not None else []).append, poll_s=0.001)


def test_it_waits_with_progress_until_the_device_has_cooled():
    events: list[Event] = []
    assert watch(Device(warm(70), warm(65), warm(59)), events=events).ready() == warm(59)
    assert {(event.stage, event.total, event.unit) for event in events} == {(WAITING, 600, "seconds")}
    assert [event.note.split(", ")[0] for event in events] == [f"thermal_zone0 cpu is at {t} C" for t in (70, 65)]


def test_the_wait_is_bounded():
    window = COOL.model_copy(update={"wait_ns": 20_000_000})
    with pytest.raises(UnfitStateError, match=r"at 70 C, and below 60 C is wanted, after .*improve its cooling"):
        watch(Device(warm(70)), window).ready()


def test_the_state_after_a_run_is_the_one_before_the_next():
    device = Device(warm(50), warm(55))
    seen = watch(device)
    for _ in range(3):
        seen.observed(seen.ready(), OK)
    assert device.told == 4  # one for each run, one to begin with


def test_after_a_run_among_others_it_waits_until_they_are_gone():
    #            before        after: 3 of 4 s busy, 1 ours   still busy     quiet
    states = [busy(0, 0), busy(3, 4), busy(3.9, 5), busy(3.95, 6)]
    device = Device(*states)
    seen = watch(device)
    assert "others used 50% of its CPUs" in seen.observed(seen.ready(), OK).void
    assert seen.ready() == states[3]


def attempts(device: Device, execute: Any, kept: list[Run], window: Window = COOL) -> Attempts:
    def keep(run: Run) -> None:
        if kept and kept[-1].index == run.index:  # the same run, now with the state after it
            assert kept[-1].invalid == UNSEEN
            kept.pop()
        kept.append(run)

    return Attempts(execute, watch(device, window), keep, redos=2)


def request() -> RunRequest:
    return RunRequest("solo", {"a": "candidate"}, Plan())


def test_a_void_run_is_made_again_and_both_are_kept():
    kept: list[Run] = []
    run = attempts(Device(warm(50), warm(85), warm(50), warm(60)), lambda request: OK, kept).run(7, request)
    assert [r.invalid for r in kept] == ["thermal_zone0 cpu was at 85 C at its end, and below 80 C is wanted", ""]
    assert [r.index for r in kept] == [7, 8]
    assert run == kept[1]
    assert run.counts
    assert not kept[0].counts
    assert (run.before, run.after) == (warm(50), warm(60))


def test_a_run_is_redone_twice_at_most():
    kept: list[Run] = []
    hot = [warm(50), warm(85)] * 3
    with pytest.raises(UnfitStateError, match=r"the solo run was void 3 times: .* 85 C"):
        attempts(Device(*hot), lambda request: OK, kept).run(0, request)
    assert len(kept) == 3


def test_an_agent_that_dies_is_tried_again_and_one_that_refuses_is_not():
    kept: list[Run] = []
    outcomes: list[Any] = [AgentError("died"), DeadlineError("stuck"), OK]

    def execute(request: RunRequest) -> AgentResult:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert attempts(Device(warm(50)), execute, kept).run(0, request).counts
    assert [r.status for r in kept] == ["device_error", "timeout", "ok"]
    refused = AgentFailure(stage="check", kind="device_error", message="differs")
    outcomes.append(OK.model_copy(update={"status": "error", "error": refused}))
    with pytest.raises(RunFailedError, match="differs"):
        attempts(Device(warm(50)), execute, kept).run(3, request)
    assert len(kept) == 4


def test_a_link_that_is_lost_right_after_a_run_does_not_lose_the_run():
    kept: list[Run] = []

    class Cut(Device):
        def read(self) -> DeviceState:
            if self.told:
                raise LinkLostError("gone")
            return super().read()

    with pytest.raises(DeviceError, match="gone"):
        attempts(Cut(warm(50)), lambda request: OK, kept).run(0, request)
    assert kept[0].result == OK
    assert kept[0].invalid == UNSEEN
