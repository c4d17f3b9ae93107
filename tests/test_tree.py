"""Paths of trees, and rules by regex that must cover every leaf and meet at least one."""

import pytest

from gen import tree

PARAMS = {"image": {"kernel": 1, "bias": 2}, "text": {"kernel": 3}, "list": [4, 5]}


def test_paths_name_dict_keys_and_list_places_in_order():
    assert dict(tree.paths(PARAMS)) == {"image/kernel": 1, "image/bias": 2, "text/kernel": 3, "list/0": 4, "list/1": 5}


def test_map_with_path_hands_over_path_and_all_leaves():
    doubled = tree.map_with_path(lambda path, x, y: (path, x + y), {"a": {"b": 1}}, {"a": {"b": 10}})
    assert doubled == {"a": {"b": ("a/b", 11)}}


def test_the_first_rule_found_in_a_path_gives_the_value():
    values = tree.assign(PARAMS, (("^text/", 0.1), ("kernel", 0.5), (".*", 1.0)), "optim.lr_rules")
    assert values == {"image": {"kernel": 0.5, "bias": 1.0}, "text": {"kernel": 0.1}, "list": [1.0, 1.0]}


def test_a_leaf_without_a_rule_is_named():
    with pytest.raises(
        ValueError, match=r'optim\.lr_rules: no rule matches image/bias, list/0, list/1; .*\("\.\*", va'
    ):
        tree.assign(PARAMS, (("kernel", 1.0),), "optim.lr_rules")


def test_a_rule_without_a_leaf_is_named():
    with pytest.raises(
        ValueError, match=r"optim\.decay_rules: the rule 'kernal' matches no parameter \(parameters are"
    ):
        tree.assign(PARAMS, (("kernal", 0.0), (".*", 1.0)), "optim.decay_rules")


def test_a_rule_that_others_overshadow_is_named():
    with pytest.raises(ValueError, match=r"optim\.lr_rules: the rule 'text/' decides nothing, as wider"):
        tree.assign(PARAMS, ((".*", 1.0), ("text/", 0.0)), "optim.lr_rules")


def test_leaves_are_chosen_by_path_and_nested_again():
    params = {"image": {"kernel": 1, "bias": 2}, "text": {"kernel": 3}}
    assert tree.select(params, {"image/bias", "text/kernel"}) == {"image": {"bias": 2}, "text": {"kernel": 3}}
    assert tree.nested(dict(tree.paths(params))) == params


def test_regexes_choose_paths_and_each_must_match():
    known = [path for path, _ in tree.paths(PARAMS)]
    assert tree.matching(known, ("^text/", "bias"), "optim.freeze") == {"text/kernel", "image/bias"}
    assert tree.matching(known, (), "optim.freeze") == set()
    with pytest.raises(ValueError, match=r"^optim\.freeze: 'image/kernal' matches no parameter; .* image/kernel"):
        tree.matching(known, ("^text/", "image/kernal"), "optim.freeze")
    with pytest.raises(ValueError, match=r"^optim\.freeze: '\(' is no regular expression: "):
        tree.matching(known, ("(",), "optim.freeze")
