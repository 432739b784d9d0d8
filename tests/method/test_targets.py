import numpy as np
import pytest

from occlumap.errors import TargetError
from occlumap.targets import class_names, resolve_target


def with_classes(classes):
    def classifier(batch):
        raise AssertionError("nobody asked")

    classifier.classes = classes
    return classifier


def test_names_need_not_be_texts():
    assert class_names(with_classes([3, 5]), 2) == ["3", "5"]
    assert class_names(with_classes(np.array(["a", "b"])), 2) == ["a", "b"]
    assert class_names(with_classes(None), 2) is None
    assert class_names(len, 2) is None


@pytest.mark.parametrize("classes", [7, {0: "a", 1: "b"}, "ab", iter(["a", "b"])])
def test_what_is_no_list_of_names_is_an_error(classes):
    with pytest.raises(
        TargetError, match=r"expected .classes to be a list of names.* got (int|dict|str|list_it)"
    ):
        class_names(with_classes(classes), 2)


def test_too_few_names_are_an_error():
    with pytest.raises(TargetError, match="expected 3 class names for 3 scores, got 2"):
        class_names(with_classes(["a", "b"]), 3)


def test_a_name_that_says_the_same_twice_is_one_class():
    assert resolve_target("crane", np.zeros(2), ["crane, Crane", "x"]) == 0


def test_a_missing_name_is_an_error_that_says_which():
    with pytest.raises(TargetError, match="got None at place 1"):
        class_names(with_classes(["a", None]), 2)


@pytest.mark.parametrize(
    "names", [{"a", "b"}, frozenset("ab"), b"ab", [["a"], ["b"]], np.array([["a"], ["b"]])]
)
def test_names_without_an_order_or_nested_are_an_error(names):
    with pytest.raises(TargetError, match=r"expected .classes"):
        class_names(with_classes(names), 2)


def test_several_targets_go_in_a_list():
    with pytest.raises(TargetError, match="several go in a list"):
        resolve_target(np.array([0, 1]), np.zeros(2), None)


def test_names_by_index_are_told_how_to_become_a_list():
    with pytest.raises(TargetError, match=r"got dict; hand in list\(classes.values\(\)\)"):
        class_names(with_classes({0: "a", 1: "b"}))


def test_classes_that_have_the_word_are_offered_before_those_that_have_its_letters():
    names = ["bullfrog, Rana catesbeiana", "cattle", "bobcat", "tabby, tabby cat", "Egyptian cat"]
    with pytest.raises(TargetError, match="did you mean 'tabby, tabby cat', 'Egyptian cat', 'bullfrog"):
        resolve_target("cat", np.zeros(5), names)


def test_an_index_that_is_none_and_a_name_says_how_to_give_the_name():
    with pytest.raises(TargetError, match='from 0 to 2, got 5; the class named 5 is target="5"'):
        resolve_target(5, np.zeros(3), ["0", "5", "9"])
    assert resolve_target("5", np.zeros(3), ["0", "5", "9"]) == 1


def test_a_text_that_is_the_same_number_as_a_name_is_that_class():
    names = ["1.0", "2.0", "3.0"]
    assert resolve_target("1", np.zeros(3), names) == 0
    assert resolve_target("01", np.zeros(3), ["0", "1"]) == 1
    assert resolve_target("1", np.zeros(2), ["1.0", "1"]) == 1
    with pytest.raises(TargetError, match=r"fits 0 \(1.0\), 2 \(1.00\); give the index in Python, target=0"):
        resolve_target("1", np.zeros(3), ["1.0", "x", "1.00"])
    with pytest.raises(TargetError, match="expected the name of a class"):
        resolve_target("4", np.zeros(3), names)


def test_a_number_that_names_two_classes_is_told_what_the_command_line_can_say():
    with pytest.raises(TargetError, match="in Python, target=0, or names that differ"):
        resolve_target("1", np.zeros(2), ["1", "1"])
