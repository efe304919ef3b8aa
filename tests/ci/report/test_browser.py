"""The report in a real Chromium: nothing is loaded, nothing goes wrong, and it can be read by everyone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from made_trials import MS, SECOND, TrialMaker
from peers import browser as peer
from seatrial_ci.gate import judge
from seatrial_ci.gate.verdict import PolicyVerdict
from seatrial_ci.judgement import Judgement
from seatrial_ci.report import html
from seatrial_ci.report.axes import Axis
from seatrial_runner.records import DeviceInfo, DeviceState, EnergySample, EnergyWindows, MeterInfo
from seatrial_targets.budgets import Budgets

pytestmark = pytest.mark.slow
HOSTILE = "</style></title><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'{{7*7}}"
BUDGETS = Budgets.model_validate({"latency_p50": "10.2 ms", "peak_memory": "100 MB", "warn": ["latency_p50"]})


def a_trial(runs: int = 12, n: int = 100, effect: float = 0.03, **changes: Any) -> Any:
    maker = TrialMaker()
    for _ in range(runs):
        maker.solo(10 * MS * (1 + effect), n=n, duration_ns=2 * SECOND)
        maker.solo(10 * MS, "baseline", n=n, duration_ns=2 * SECOND)
    maker.duets(16, effect)
    maker.memory(50_000_000)
    maker.memory(60_000_000, "baseline")
    states = {
        name: DeviceState(unix_ns=at * SECOND, temperatures_c={"cpu": heat}, frequencies_khz={"policy0": 2_400_000})
        for name, at, heat in (("before", 1, 41.0), ("after", 60, 52.5))
    }
    return maker.trial(finished_unix_ns=60 * SECOND, **{**states, **changes})


def judged(trial: Any) -> Judgement:
    return Judgement(judge(trial, BUDGETS), trial)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with peer.chromium() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page in a window of its own; on leaving nothing may have gone wrong, and nothing been asked for."""
    opened: list[tuple[Any, list[str]]] = []

    def go(text: str, width: int = 1280, height: int = 900, **context: Any) -> Any:
        path = tmp_path / f"{len(opened)}.html"
        path.write_text(text)
        window = chromium.new_context(viewport={"width": width, "height": height}, **context)
        page, wrong = window.new_page(), list[str]()
        page.on("console", lambda said: wrong.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        opened.append((window, wrong))
        return page

    yield go
    for window, wrong in opened:
        window.close()
        assert wrong == []


@pytest.fixture(scope="module")
def text() -> str:
    return html([judged(a_trial())])


@pytest.fixture(scope="module")
def family() -> str:
    trials = [a_trial(3, effect=effect) for effect in (0.0, 0.3)]
    verdicts = [judge(t, BUDGETS).model_copy(update={"device": f"pi-{i}"}) for i, t in enumerate(trials)]
    found = [Judgement(v, t) for v, t in zip(verdicts, trials, strict=True)]
    return html(found, PolicyVerdict(policy="release", outcome="FAIL", reasons=("slow",), verdicts=tuple(verdicts)))


def chart(page: Any, key: str) -> Any:
    return page.locator(f"#cell0-{key} svg.outer").first


def seen(page: Any, key: str) -> list[float]:
    """Return the part of a chart's plot that is shown: x, y, width, height."""
    return [float(x) for x in chart(page, key).locator("svg.plot").get_attribute("viewBox").split(" ")]


def drag(page: Any, key: str, begin: float, end: float) -> None:
    """Drag over a part of a chart's plot, from ``begin`` to ``end`` of its width."""
    chart(page, key).scroll_into_view_if_needed()
    box = chart(page, key).locator("rect.frame").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + begin * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    page.mouse.up()


def test_it_renders_with_the_verdict_in_the_first_screen(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    for words in ("FAIL", "net-int8 (generic-arm64) on lab-pi", "slower than the baseline", "latency regression"):
        place = page.get_by_text(words).first.bounding_box()
        assert 0 <= place["y"] < 900, words
    assert page.locator("svg.outer").count() == 6


def test_hovering_says_what_a_point_is(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    tip = chart(page, "pairs").locator(".tip")
    assert tip.get_attribute("visibility") == "hidden"
    box = chart(page, "pairs").locator("path.dot").nth(2).bounding_box()
    chart(page, "pairs").scroll_into_view_if_needed()
    box = chart(page, "pairs").locator("path.dot").nth(2).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2 + 1)
    assert tip.get_attribute("visibility") == "visible"
    assert re.fullmatch(r"pair 3, run \d+: [+-]\d\.\d\d %", tip.text_content())
    page.mouse.move(1, 1)
    assert tip.get_attribute("visibility") == "hidden"


def test_a_line_can_be_read_too(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    session = chart(page, "session")
    session.scroll_into_view_if_needed()
    box = session.locator("path.line.candidate").bounding_box()
    for part in range(1, 60):
        page.mouse.move(box["x"] + box["width"] * part / 60, box["y"] + box["height"] / 2)
        if re.fullmatch(r"[\d.]+ s: [\d.]+ ms", session.locator(".tip").text_content() or ""):
            return
    pytest.fail("no point of the line was told")


def test_dragging_zooms_and_the_axis_follows(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    whole, labels = seen(page, "runs"), chart(page, "runs").locator(".ticks text").all_text_contents()
    drag(page, "runs", 0.25, 0.5)
    x, _, width, height = seen(page, "runs")
    assert x == pytest.approx(0.25 * whole[2], rel=0.03)
    assert width == pytest.approx(0.25 * whole[2], rel=0.03)
    assert height == whole[3]
    assert chart(page, "runs").locator(".ticks text").all_text_contents() != labels
    chart(page, "runs").locator(".frame").dblclick()
    assert seen(page, "runs") == whole
    assert chart(page, "runs").locator(".ticks text").all_text_contents() == labels


def test_names_go_with_their_points(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    name = chart(page, "variants").locator("text.name").first
    before = float(name.get_attribute("x"))
    drag(page, "variants", 0.5, 1.0)
    dots = [seen(page, "variants"), float(name.get_attribute("data-x"))]
    assert float(name.get_attribute("x")) != before
    assert (name.get_attribute("visibility") == "visible") == (dots[1] >= dots[0][0])


def test_charts_over_the_same_time_zoom_together(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    other = page.locator("#cell0-conditions svg.plot")
    before = [other.nth(i).get_attribute("viewBox") for i in range(2)]
    drag(page, "session", 0.3, 0.6)
    for i in range(2):
        x, _, width, _ = (float(v) for v in other.nth(i).get_attribute("viewBox").split(" "))
        assert other.nth(i).get_attribute("viewBox") != before[i]
        assert (x, width) == pytest.approx((seen(page, "session")[0], seen(page, "session")[2]), rel=0.02)
    assert seen(page, "pairs")[0] == 0


def test_a_wheel_scrolls_the_page_and_with_ctrl_zooms_the_chart(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    chart(page, "pairs").hover()
    whole, top = seen(page, "pairs"), page.evaluate("scrollY")
    page.mouse.wheel(0, 100)
    page.wait_for_function(f"scrollY > {top}")
    assert seen(page, "pairs") == whole
    chart(page, "pairs").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.wait_for_function("document.querySelector('#cell0-pairs svg.zoomed')")
    assert seen(page, "pairs")[2] < whole[2]


def test_all_of_it_is_reached_and_read_by_keyboard(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "(() => { const e = document.activeElement; e.seen ??= String(Math.random()); "
            "return [e.tagName, e.seen, getComputedStyle(e).outlineStyle, e.getAttribute('aria-label') || '']; })()"
        )
        if at[0] == "BODY":
            break
        assert at[2] != "none", at
        reached.add((at[0], at[1]))
    names = [name for name, _ in reached]
    assert names.count("svg") == 6
    assert names.count("BUTTON") == 18
    assert names.count("SUMMARY") == page.locator("summary").count()


def test_arrow_keys_tell_a_screen_reader_point_by_point(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    chart(page, "pairs").focus()
    told = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
        page.keyboard.press(key)
        told.append(page.locator("#live").text_content().partition(",")[0])
    assert told == ["pair 1", "pair 2", "pair 1", "pair 16", "pair 1"]
    whole = seen(page, "pairs")
    page.keyboard.press("+")
    assert seen(page, "pairs")[2] < whole[2]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("0")
    assert seen(page, "pairs") == whole
    assert page.locator("[aria-live=polite]").count() == 1


def test_the_buttons_zoom(visit: Callable[..., Any], text: str) -> None:
    page = visit(text)
    whole = seen(page, "runs")
    tools = page.locator("#cell0-runs .tools")
    tools.get_by_role("button", name="Zoom in").click()
    assert seen(page, "runs")[2] < whole[2]
    tools.get_by_role("button", name="Show all").click()
    assert seen(page, "runs") == whole


@pytest.mark.parametrize(("which", "scheme", "width"), [("text", "light", 1280), ("family", "dark", 360)])
def test_axe_finds_nothing(
    visit: Callable[..., Any], request: pytest.FixtureRequest, which: str, scheme: str, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(request.getfixturevalue(which), width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_sticks_out_of_a_narrow_screen(visit: Callable[..., Any], text: str, width: int) -> None:
    page = visit(text, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_is_dark_and_paper_is_white(visit: Callable[..., Any], text: str) -> None:
    def background(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page = visit(text, color_scheme="dark")
    assert background(page) == "rgb(16, 21, 27)"
    page.emulate_media(media="print")
    assert background(page) == "rgb(255, 255, 255)"
    assert not page.locator(".tools").first.is_visible()
    assert background(visit(text)) == "rgb(255, 255, 255)"


def test_it_prints(visit: Callable[..., Any], text: str, tmp_path: Path) -> None:
    page = visit(text)
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes()))
    assert 2 <= pages <= 8


def test_hostile_names_are_shown_and_nothing_of_them_runs(visit: Callable[..., Any]) -> None:
    device = DeviceInfo(name=HOSTILE, target=HOSTILE, transport=HOSTILE, stamp=HOSTILE)
    page = visit(html([judged(a_trial(device=device, notes=(HOSTILE,)))] * 2))
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 0
    assert page.locator("h1 script").count() == 0
    assert HOSTILE in page.locator("p.stamp").first.text_content()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_numbers_that_can_not_be_break_no_chart(visit: Callable[..., Any]) -> None:
    samples = tuple(EnergySample(t_ns=t * SECOND, values=(v,)) for t, v in enumerate((0, 10**18, 5, 2**62, 2**62 + 1)))
    windows = {"idle_before": (0, SECOND), "burst": (SECOND, 3 * SECOND), "idle_after": (3 * SECOND, 4 * SECOND)}
    maker = TrialMaker().solos(3)
    energy = EnergyWindows(counters=("m",), inferences=1, samples=samples, **windows)
    maker.run("energy", {"a": "candidate"}, maker.result(energy=energy))
    meter = MeterInfo(id="m", kind="counter", scope="board", path="/sys/m", uj_per_step=1e300, wraps_at=2**63)
    states = {"before": DeviceState(unix_ns=0, temperatures_c={"cpu": float("inf"), "gpu": float("nan"), "soc": 1e308})}
    page = visit(html([judged(maker.trial(baseline=False, meter=meter, **states))]))
    assert page.locator(".tools").count() == page.locator("svg.outer[data-axes]").count() >= 4


def test_without_scripts_it_can_be_read_as_well(visit: Callable[..., Any], text: str) -> None:
    page = visit(text, java_script_enabled=False)
    assert page.locator("h1").text_content().startswith("FAIL")
    assert page.locator("path.dot title").count() > 40
    page.locator("#cell0-pairs summary").click()
    assert page.get_by_role("row").filter(has_text="+3").first.is_visible()


def test_a_link_in_the_overview_opens_the_verdict(visit: Callable[..., Any], family: str) -> None:
    page = visit(family)
    title = page.locator("#cell1-verdict")
    assert title.is_visible()  # it fails, and so is open
    page.locator("#cell1 > summary").click()
    assert not title.is_visible()
    page.locator("a[href='#cell1-verdict']").click()
    title.wait_for(state="visible")


@pytest.mark.parametrize(
    ("low", "high", "unit", "whole"),
    [
        (10_010_000, 10_055_000, "ns", False),
        (0, 7_300_000_000, "ns", False),
        (-0.034, 0.061, "relative", False),
        (0, 1.05, "share", False),
        (3, 3, "", False),
        (0, 17, "", True),
        (1_234_567, 98_765_432, "bytes", False),
        (0.0003, 0.0009, "W", False),
        (1500, 2400, "MHz", False),
        (-12.5, 61.7, "°C", False),
    ],
)
def test_the_script_writes_ticks_as_python_does(
    visit: Callable[..., Any], text: str, low: float, high: float, unit: Any, whole: bool
) -> None:
    found = visit(text).evaluate("(a) => seatrialTicks(...a)", [low, high, unit, whole])
    assert [label for _, label in found] == [label for _, label in Axis(low, high, unit, "", whole).ticks]


def test_a_hundred_thousand_samples_are_one_light_page(visit: Callable[..., Any]) -> None:
    text = html([judged(a_trial(runs=125, n=400))])
    assert len(text.encode()) < 1_500_000
    page = visit(text)
    assert "100,000 timed inferences" in page.locator("#cell0-session .says").text_content()
    drag(page, "session", 0.4, 0.5)
    assert seen(page, "session")[2] < 100
