import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from seatrial_ci.gate import judge
from seatrial_ci.judgement import Judgement
from seatrial_ci.report import html
from seatrial_runner.records import DeviceInfo
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
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "form", "a")]
    assert len(page.named("script")) == 1
    attributes = [(key, value) for _, attrs in page.elements for key, value in attrs.items()]
    assert not [key for key, _ in attributes if key.startswith("on") or key in ("src", "href", "style")]
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
    circles = Page(text).named("circle")
    groups = [a["class"] for a in circles]
    assert groups.count("used") + groups.count("unused") == 16
    assert (
        groups.count("candidate") == groups.count("baseline") == 2 * (5 + 1) + 2
    )  # two charts of runs, the variants, a legend each
    assert all(0 <= float(a["cx"]) <= 720 and 0 <= float(a["cy"]) <= 280 for a in circles)


def test_charts_speak_to_screen_readers(text):
    page = Page(text)
    charts = page.named("svg")
    identities = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert len(charts) == 4
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= identities
    assert page.named("html") == [{"lang": "en"}]
    assert all("scope" in th for th in page.named("th"))


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


def test_the_template_switches_no_escaping_off():
    from importlib import resources

    source = resources.files("seatrial_ci.report").joinpath("templates/report.html.j2").read_text()
    assert re.findall(r"\{[^}]*\|\s*safe|autoescape|Markup", source) == ["{{ script | safe"]


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
    assert "Of 3 pairs one is drawn" in text


def test_without_jinja2_it_says_what_to_install():
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from seatrial_ci.report.html import _template\n"
        "try: _template()\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(UserError.__name__)
    assert "seatrial[report]" in done.stdout
