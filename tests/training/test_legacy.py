"""What configs of earlier versions lack is filled in with what it meant, left out of digests, and taken over."""

import pytest

from gen.checkpoint import identity
from gen.training import legacy
from gen.training.run_dir import RunDir

OLD = {
    "seed": 0,
    "data": {
        "source": "preferences:/pairs",
        "options": {"test_fraction": 0.1},
        "mixture": {"v1.5": {"source": "text:/a", "options": {}}, "code": {"source": "stdlib", "options": {}}},
        "pretrain": {"source": "text:/b", "options": {"field": "body"}},
        "demonstrations": "chat:/c",
        "demonstration_options": {},
    },
    "rank": {"source": "instructions", "options": {}},
}


def test_every_set_of_data_gets_the_rule_of_its_kind():
    found = legacy.completed(OLD)
    assert found["data"]["options"] == {"test_fraction": 0.1, "split_by": "position"}
    assert found["data"]["mixture"]["v1.5"]["options"] == {"split_by": "position"}
    assert found["data"]["mixture"]["code"] == OLD["data"]["mixture"]["code"] and found["rank"] == OLD["rank"]
    assert found["data"]["pretrain"]["options"] == {"field": "body", "split_by": "position"}
    assert found["data"]["demonstration_options"] == {"split_by": "position"}
    assert legacy.completed(found) == found and legacy.digested(found) == OLD and "split_by" not in repr(OLD)
    pictures = {"data": {"source": "folder:/birds", "options": {}}}
    assert legacy.completed(pictures)["data"]["options"] == {"split_by": "spelling"}


def test_a_rule_that_is_stated_stays_and_counts_in_digests():
    new = {"data": {"source": "text:/a", "options": {"split_by": "content"}}}
    assert legacy.completed(new) == new == legacy.digested(new)


@pytest.mark.parametrize("config", [{"data": {"source": 3}}, {"data": {"source": "text:/a", "options": 3}}, {}])
def test_what_is_no_config_is_left_to_others(config):
    assert legacy.completed(config) == config


def test_what_is_given_stands_before_what_is_taken_over():
    before = legacy.completed(OLD)
    meant = legacy.completed(OLD)
    data = {"data": {"mixture": {"v1.5": {"options": {"split_by": "content"}}}, "options": {"test_fraction": 0.1}}}
    assert legacy.taken_over(data, meant, before)["data"] == {
        "options": {"split_by": "position"},
        "pretrain": {"options": {"split_by": "position"}},
        "demonstration_options": {"split_by": "position"},
    }
    # what is now of a kind that has no rule takes none over
    assert legacy.taken_over({}, {"data": {"source": "stdlib", "options": {}}}, before) == {}
    # nor what is of another kind, whose rules have other names
    birds = legacy.completed({"data": {"source": "folder:/birds", "options": {}}})
    assert legacy.taken_over({}, legacy.completed({"data": {"source": "text:/a", "options": {}}}), birds) == {}


def test_a_run_of_an_earlier_version_keeps_the_digest_of_its_config(tmp_path):
    old = RunDir(tmp_path / "run")
    old.claim(OLD, ())
    before = identity.of(old.path)
    old.claim(legacy.completed(OLD), ())
    assert identity.of(old.path) == before and len(before["configs"]) == 1
    assert old.config() == legacy.completed(OLD)
