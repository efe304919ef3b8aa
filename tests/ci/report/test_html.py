import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from made_trials import MS, TrialMaker
from seatrial_ci.gate import judge
from seatrial_ci.gate.verdict import PolicyVerdict
from seatrial_ci.judgement import Judgement, Measured
from seatrial_ci.report import html
from seatrial_runner.records import DeviceInfo, DeviceState, EnergySample, EnergyWindows, MeterInfo
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import UserError

HOSTILE = "</style></title><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'{{7*7}}"
VOID = {"meta", "link", "br", "img", "rect", "line", "circle", "polyline", "path"}


class Page(HTMLParser):
    """Collects elements and texts, and checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]


def page_of(trial, budgets=None):
    return html([Judgement(judge(trial, budgets or Budgets()), trial)])


@pytest.fixture
def text(maker):
    return page_of(maker.solos(5, n=100).solos(5, 20_000_000, bundle="baseline", n=100).duets(16).trial())


def test_it_is_well_formed_and_small(text):
    assert not Page(text).open
    assert len(text.encode()) < 300_000


def test_it_loads_nothing_and_runs_nothing(text):
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "form", "use", "image")]
    assert all(link["href"].startswith("#") for link in page.named("a"))
    assert len(page.named("script")) == 1
    attributes = [(key, value) for _, attrs in page.elements for key, value in attrs.items()]
    assert not [key for key, _ in attributes if key.startswith("on") or key in ("src", "xlink:href", "style")]
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")  # the namespace's name, which nothing fetches
    assert "url(" not in text
    assert "@import" not in text


def test_its_policy_allows_only_its_own_style(text):
    policy = next(a["content"] for a in Page(text).named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_verdict_comes_first_and_the_evidence_below(text):
    said = "".join(Page(text).texts)
    places = [
        said.index(part) for part in ("net-int8 (generic-arm64) on lab-pi", "no regression", "Bounds", "Provenance")
    ]
    assert places == sorted(places)


def test_every_pair_is_a_dot_and_every_run_too(text):
    groups = [a["class"] for a in Page(text).named("path") if a["class"].startswith("dot ")]
    assert groups.count("dot used") + groups.count("dot unused") == 16
    assert groups.count("dot candidate") == groups.count("dot baseline") == 2 * 5  # medians, and the session


def test_charts_speak_to_screen_readers(text):
    page = Page(text)
    charts = [a for a in page.named("svg") if a["class"] == "outer"]
    identities = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(identities) == len(set(identities))
    assert len(charts) == 4
    assert len(page.named("details")) == 4  # each chart's data as a table
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= set(identities)
    assert page.named("html") == [{"lang": "en"}]
    assert all("scope" in th for th in page.named("th"))


def test_what_is_not_shown_is_said(text):
    said = " ".join("".join(Page(text).texts).split())
    assert "Power while energy was measured: the device has no energy meter that we can read." in said
    assert "Temperature and clocks: the device told neither a temperature nor a clock." in said


def test_hostile_names_are_shown_and_not_obeyed(maker):
    maker.duets(8)
    maker.run("solo", {"a": "candidate"}, None, status="device_error", reason=HOSTILE)
    trial = maker.trial(
        device=DeviceInfo(name=HOSTILE, target=HOSTILE, transport=HOSTILE, stamp=HOSTILE), notes=(HOSTILE,)
    )
    text = page_of(trial)
    page = Page(text)
    assert page.named("script") == [{}]  # our own
    assert not page.named("img")
    assert not page.open
    assert "".join(page.texts).count("alert(1)") >= 5
    assert "49" not in re.findall(r"evil\.example/x[^<]*?(49)", text)


def test_characters_that_nobody_sees_turn_nothing_around(maker):
    device = DeviceInfo(name="pi\u202egnp.exe\x1b[2J\u2066", target="t", transport="ssh")
    text = page_of(maker.duets(8).trial(device=device))
    assert "pi�gnp.exe�[2J�" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_the_template_switches_no_escaping_off():
    from importlib import resources

    folder = resources.files("seatrial_ci.report").joinpath("templates")
    sources = "".join(each.read_text() for each in folder.iterdir() if each.name.endswith(".j2"))
    assert re.findall(r"\{[^}]*\|\s*safe|autoescape|Markup", sources) == ["{{ style | safe", "{{ script | safe"]


def test_a_stand_in_says_so(maker):
    device = DeviceInfo(name="pi", target="t", transport="ssh", stamp="QEMU emulation")
    assert "Not real hardware: QEMU emulation" in page_of(maker.duets(8).trial(device=device))


def test_without_runs_there_are_reasons_and_no_charts(maker):
    page = Page(page_of(maker.trial()))
    assert not page.named("svg")
    assert "no solo run was made" in "".join(page.texts)


def test_thousands_of_pairs_stay_small_and_say_that_they_were_thinned(maker):
    trial = maker.duets(3000).trial()
    text = page_of(trial)
    assert len(text.encode()) < 300_000
    assert "of 3000 pairs are drawn, among them the least and the greatest" in text


def family(count, maker):
    """A policy of ``count`` devices, of which the last one fails."""
    good, bad = maker.solos(3).duets(8).trial(), TrialMaker().solos(3).duets(8, 0.3).trial()
    verdicts = [judge(good, Budgets())] * (count - 1) + [judge(bad, Budgets())]
    named = [v.model_copy(update={"device": f"device-{i}", "model": "net"}) for i, v in enumerate(verdicts)]
    found = [Judgement(v, good if v.outcome == "PASS" else bad) for v in named]
    policy = PolicyVerdict(policy="fleet", outcome="FAIL", reasons=("net on the last: slow",), verdicts=tuple(named))
    return html(found, policy)


def test_a_large_family_stays_below_the_limit_and_leaves_out_what_passes(maker):
    text = family(300, maker)
    assert len(text.encode()) < 1_500_000
    page = Page(text)
    assert not page.open
    anchors = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert "cell299" in anchors
    assert "299 PASS" in "".join(page.texts)
    assert re.search(r"The evidence of \d+ verdicts is left out", text)
    assert all(link["href"][1:] in anchors for link in page.named("a"))


def test_a_small_family_is_whole_and_what_passes_is_folded(maker):
    page = Page(family(3, maker))
    cells = [attrs for attrs in page.named("details") if attrs.get("class") == "cell"]
    assert ["open" in attrs for attrs in cells] == [False, False, True]
    assert "left out" not in "".join(page.texts)


@pytest.mark.slow
def test_thousands_of_runs_with_traces_are_one_light_page(maker):
    state = DeviceState(unix_ns=1, temperatures_c={f"zone{'x' * 300}{i}": 40.0 + i for i in range(80)})
    readings = tuple(EnergySample(t_ns=t * 10**8, values=(t * 10**6,)) for t in range(60))
    windows = {"idle_before": (0, 2 * 10**9), "burst": (2 * 10**9, 4 * 10**9), "idle_after": (4 * 10**9, 6 * 10**9)}
    energy = EnergyWindows(counters=("m",), inferences=10, samples=readings, **windows)
    for number in range(6000):
        maker.solo(n=16, before=state if number % 10 == 0 else None)
    for _ in range(300):
        maker.run("energy", {"a": "candidate"}, maker.result(energy=energy))
    meter = MeterInfo(id="m", kind="counter", scope="board", path="/sys/m")
    notes, settings = ("n" * 1000,) * 500, {f"key{i}": "v" * 5000 for i in range(500)}
    trial = maker.trial(baseline=False, meter=meter, notes=notes, settings=settings)
    text = page_of(trial, Budgets.model_validate({"latency_p50": "1 s"}))
    assert len(text.encode()) < 1_500_000
    assert "so no extreme is lost" in text


@pytest.mark.slow
def test_ten_thousand_devices_in_one_policy(maker):
    text = family(10_000, maker)
    assert len(text.encode()) < 1_500_000
    assert "9000 more devices are not in this table; those that do not pass come first." in text
    assert "device-9999" in text


def test_a_trial_of_which_nothing_was_asked_is_measured_and_has_no_verdict(maker):
    trial = maker.solos(5).trial(baseline=False)
    page = Page(html([Measured(trial)]))
    said = " ".join("".join(page.texts).split())
    assert "MEASURED: net-int8 (generic-arm64) on lab-pi" in said
    assert "not judged: it has no limit and no baseline" in said
    assert "Checks" not in said
    assert not page.open
    other = Judgement(judge(trial, Budgets.model_validate({"size": "1 GB"})), trial)
    assert "1 MEASURED · 1 PASS" in " ".join("".join(Page(html([Measured(trial), other])).texts).split())


def test_a_cold_start_has_a_row_with_its_parts(maker):
    maker.run("cold", {"a": "candidate"}, maker.result(arms={"a": maker.arm([9 * MS] * 9)}), page_cache="dropped")
    assert "page cache dropped, 1 runs" in html([Measured(maker.solos(3).trial(baseline=False))])


def test_names_without_end_are_cut(maker):
    device = DeviceInfo(name="x" * 4096, target="t", transport="ssh")
    trial = maker.solos(3).duets(8).trial(device=device)
    judgement = Judgement(judge(trial, Budgets()), trial)
    assert "x" * 200 + "…" in html([judgement, judgement])


def test_without_jinja2_it_says_what_to_install():
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from seatrial_ci.report.html import _environment\n"
        "try: _environment()\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(UserError.__name__)
    assert "seatrial[report]" in done.stdout


def luminance(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_stand_out_from_their_ground(scheme):
    """Text, dots and lines: 4.5 to 1, as WCAG 2.2 asks of text; axe does not look into SVG."""
    from importlib import resources

    style = resources.files("seatrial_ci.report").joinpath("templates/report.css").read_text()
    found = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6});", re.findall(r":root \{(.*?)\}", style, re.S)[scheme]))
    grounds = {name: found.pop(name) for name in ("paper", "panel")}
    found.pop("line")  # grids are meant to be faint
    assert len(found) == 14
    for ground in grounds.values():
        for name, colour in found.items():
            light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, colour, ground)
