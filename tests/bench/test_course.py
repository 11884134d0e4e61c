"""What is left of a bench."""

from tests.bench.course import Course


def test_what_is_left_of_a_bench():
    """What is left is what each load took before, and for one that did not run yet what the others took."""
    course = Course(["products", "cart"], rounds=2)
    course.ran("products", 20)
    assert str(course) == "1 of 4, about 1 min 0 s left"
    course.ran("cart", 40)
    assert str(course) == "2 of 4, about 1 min 0 s left"
    course.ran("products", 30)
    assert str(course) == "3 of 4, about 40 s left"
    course.ran("cart", 40)
    assert str(course) == "4 of 4"


def test_what_is_left_can_be_asked_at_any_time():
    """It is known before the first load, and whichever load has run: asking changes nothing."""
    course = Course(["products", "cart", "buyer"], rounds=1)
    assert str(course) == "0 of 3, about 0 s left"
    for load, said in (("products", "1 of 3, about 20 s left"), ("cart", "2 of 3, about 10 s left")):
        course.ran(load, 10)
        assert [str(course), str(course)] == [said, said]
