import re
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml, Skipped

from seatrial_ci.gate import Check, Outcome, judge
from seatrial_ci.judgement import Judgement
from seatrial_ci.report import junit
from seatrial_runner.records import DeviceInfo
from seatrial_targets.budgets import Budgets


def judged(verdict, trial):
    return [Judgement(verdict, trial)]


def cases(text):
    return {case.name: case for suite in JUnitXml.fromstring(text.encode()) for case in suite}


def verdict_with(maker, **kwargs):
    trial = maker.duets(8).trial(**kwargs)
    checks = tuple(Check(metric=o.value, outcome=o, message=f"because {o.value}") for o in Outcome)
    return judge(trial, Budgets()).model_copy(update={"checks": checks}), trial


def test_each_outcome_has_its_kind(maker):
    found = cases(junit(judged(*verdict_with(maker))))
    assert not found["PASS"].result
    for name, kind in (("FAIL", Failure), ("INVALID", Error), ("INCONCLUSIVE", Skipped)):
        assert isinstance(found[name].result[0], kind)
        assert found[name].result[0].message == f"because {name}"


def test_counts_are_those_of_the_checks(maker):
    root = ElementTree.fromstring(junit(judged(*verdict_with(maker))).encode())
    counts = {"tests": "4", "failures": "1", "errors": "1"}
    assert {key: root.get(key) for key in counts} == counts
    assert {key: root.find("testsuite").get(key) for key in (*counts, "skipped")} == counts | {"skipped": "1"}


# What Jenkins' xUnit plugin validates against (jenkinsci/xunit-plugin, junit-10.xsd): element to attributes, children.
JENKINS = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "time", "tests", "failures", "errors", "skipped"}, {"testcase", "properties"}),
    "testcase": ({"name", "time", "classname"}, {"failure", "error", "skipped", "system-out"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    **dict.fromkeys(("failure", "error", "skipped"), ({"message", "type"}, set())),
    "system-out": (set(), set()),
}


def test_jenkins_schema_allows_all_of_it(maker):
    root = ElementTree.fromstring(junit(judged(*verdict_with(maker))).encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = JENKINS[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
        assert re.fullmatch(r"\d+(\.\d{1,3})?", element.get("time", "0"))


def test_a_stamp_is_in_every_name(maker):
    device = DeviceInfo(name="pi", target="t", transport="ssh", stamp="QEMU emulation")
    assert all("[QEMU emulation]" in name for name in cases(junit(judged(*verdict_with(maker, device=device)))))


def test_times_are_those_of_the_runs_and_of_the_trial(maker):
    trial = maker.solos(3).duets(8).trial()
    verdict = judge(trial, Budgets.model_validate({"latency_p50": "1 s", "size": "1 GB"}))
    root = ElementTree.fromstring(junit(judged(verdict, trial)).encode())
    times = {case.get("name"): float(case.get("time")) for case in root.iter("testcase")}
    assert times == {"latency_p50": 3.0, "size": 0.0, "latency_regression": 8.0}
    assert [float(each.get("time")) for each in (root, *root.iter("testsuite"))] == [1.0, 1.0]


def test_bundles_of_one_name_for_two_targets_are_two_classes(maker):
    case = next(iter(cases(junit(judged(*verdict_with(maker)))).values()))
    assert case.classname == "lab-pi.net-int8.generic-arm64"


def test_control_characters_and_markup_do_not_break_the_xml(maker):
    device = DeviceInfo(name="pi\x00\x1b[31m<&]]>\ud7ff\uffff", target="t", transport="ssh")
    text = junit(judged(*verdict_with(maker, device=device)))
    assert ElementTree.fromstring(text.encode()) is not None
    assert "\x1b" not in text
