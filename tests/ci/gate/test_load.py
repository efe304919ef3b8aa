import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatrial_ci.gate import load_trial
from seatrial_runner.records import Trial
from seatrial_targets.errors import UserError


@pytest.fixture
def document(maker):
    maker.duets(2).solos(1)
    return json.loads(maker.trial().model_dump_json(by_alias=True))


@pytest.fixture
def kept(tmp_path):
    def keep(content):
        path = tmp_path / "trial.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return keep


def refused(path, match):
    with pytest.raises(UserError, match=match) as caught:
        load_trial(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_was_written_is_read(kept, document):
    assert load_trial(kept(document)) == Trial.model_validate(document)


def test_a_missing_file_and_a_folder(tmp_path):
    refused(tmp_path / "none.json", "No such file")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "truncated"),
        (b"hello", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[1, 2]", "holds a list"),
        (b"{}", "no key 'schema'"),
        (b'{"schema": "pyperf/1"}', "pyperf/1"),
        (b'{"schema": 5}', "not a trial"),
        (b'{"schema": "seatrial.trial/2"}', "newer format"),
        (b"[" * 100_000, r"not JSON|nested|truncated"),
    ],
)
def test_what_is_not_a_trial(kept, content, match):
    refused(kept(content), match)


def test_every_truncation_is_an_error_that_names_the_file(kept, document):
    blob = json.dumps(document).encode()
    for end in range(0, len(blob) - 1, 97):
        refused(kept(blob[:end]), r"empty|truncated|not JSON")


@pytest.mark.parametrize("bad", [-5, float("nan"), float("inf"), 2**63, "x", None, 1.5])
def test_times_that_cannot_have_been_measured(kept, document, bad):
    document["runs"][0]["result"]["arms"]["a"]["wall_ns"][1] = bad
    refused(kept(document), r"runs\.0\.result\.arms\.a\.wall_ns\.1")


def test_unknown_keys_and_missing_ones(kept, document):
    document["extra"] = 1
    del document["id"]
    refused(kept(document), r"(?s)id.*extra")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d["runs"][1].update(index=0), "two runs have the index 0"),
        (lambda d: d["bundles"].pop("baseline"), "does not name"),
        (lambda d: d["bundles"].pop("candidate"), "no candidate"),
        (lambda d: d["runs"][0]["result"]["arms"].pop("b"), "lacks the result"),
        (lambda d: d["runs"][0]["arms"].pop("b"), "of 1 arms"),
        (lambda d: d["runs"][2].update(first="b"), "does not have"),
    ],
)
def test_runs_that_contradict_the_trial(kept, document, change, match):
    change(document)
    refused(kept(document), match)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(node, path=()):
    yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(min(3, len(node))):
            yield from places(node[key], (*path, key))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_trial_is_read_or_refused_but_never_a_crash(kept, document, data):
    changed = json.loads(json.dumps(document))
    path = data.draw(st.sampled_from(list(places(changed))[1:]))
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = data.draw(VALUES)
    with contextlib.suppress(UserError):
        load_trial(kept(changed))
