"""Which ways to lay a run out are tried, and how they are ranked."""

import pytest

from gen.plan import search
from gen.plan.plan import OutOfMemory, Plan


def plan(fits: bool, seconds: float) -> Plan:
    roofs = {"compute": seconds}
    return Plan(8, {"all": 10}, 10, 20.0 if fits else 5.0, 1, 1, 1, {}, 0, roofs, 1.0, 0.0)


def test_meshes_use_every_device_and_come_once():
    shapes = list(search.meshes(24))
    assert {shape["data"] * shape["fsdp"] * shape["tensor"] for shape in shapes} == {24}
    assert len({tuple(shape.values()) for shape in shapes}) == len(shapes)
    assert {shape["tensor"] for shape in shapes} == {1, 2, 4, 8}
    assert shapes[0] == {"data": 1, "fsdp": 24, "tensor": 1}


def test_a_mesh_begins_with_what_needs_the_least_memory():
    found = list(search.within({"data": 2, "fsdp": 2, "tensor": 2}, 16, ("none", "full")))
    assert [way[1:] for way in found] == [(r, n) for r in ("full", "none") for n in (1, 2, 4)]
    assert not list(search.within({"data": 8, "fsdp": 4, "tensor": 1}, 16, ("none",)))


def run(attempt, limit=100, batch=8, devices=4):
    """What is found, and in which order ways were tried."""
    seen = []

    def noted(way):
        seen.append((*way.mesh.values(), way.remat, way.accumulate))
        return attempt(way)

    ways = lambda mesh: search.within(mesh, batch, ("none", "full"))
    return search.search(search.meshes(devices), ways, noted, limit), seen


def test_less_is_computed_again_where_it_fits_and_ranked_by_time():
    """With twice the micro-batches nothing need be computed again here, which is quicker than computing it at once."""

    def attempt(way):
        if way.mesh != {"data": 1, "fsdp": 4, "tensor": 1}:
            raise ValueError("heads are not divisible")
        if way.remat == "none" and way.accumulate == 1:
            return OutOfMemory("too large", None)
        return plan(True, 1.33 if way.remat == "full" else 1.0)

    found, seen = run(attempt)
    assert [(one.way.remat, one.way.accumulate) for one in found] == [("none", 2), ("full", 1), ("none", 1)]
    assert len(seen) == 3 + 5  # each other mesh is refused once


def test_every_mesh_has_its_turn_before_the_quickest_is_refined():
    seconds = {(1, 4, 1): 3.0, (2, 2, 1): 1.0, (4, 1, 1): 2.0}
    found, seen = run(lambda way: plan(True, seconds.get(tuple(way.mesh.values()), 9.0)), limit=7)
    assert len({way[:3] for way in seen[:6]}) == 6 and {way[3] for way in seen[:6]} == {"full"}
    assert seen[6] == (2, 2, 1, "none", 1)
    assert found[0].way.mesh == {"data": 2, "fsdp": 2, "tensor": 1}


def test_what_needs_more_memory_than_what_did_not_fit_is_not_tried():
    found, seen = run(lambda way: plan(way.accumulate == 4, 1.0), batch=16, devices=2)
    mesh = [way[3:] for way in seen if way[:3] == (2, 1, 1)]
    assert mesh == [("full", 1), ("full", 2), ("full", 4), ("none", 4)]
    assert not any(one.fits for one in found if one.way.accumulate < 4)


def test_a_run_that_no_mesh_takes_says_why():
    def attempt(_way):
        raise ValueError("heads are not divisible")

    with pytest.raises(ValueError, match="heads are not divisible"):
        run(attempt)
