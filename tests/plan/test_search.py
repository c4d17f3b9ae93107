"""Which ways to lay a run out are tried, and how they are ranked."""

from gen.plan import search
from gen.plan.plan import Plan, TooLarge


def plan(fits: bool, seconds: float) -> Plan:
    roofs = {"compute": seconds}
    return Plan(8, {"all": 10}, 10, 20.0 if fits else 5.0, 1, 1, 1, {}, 0, roofs, 1.0, 0.0)


def test_meshes_use_every_device_and_come_once():
    shapes = list(search.meshes(24))
    assert {shape["data"] * shape["fsdp"] * shape["tensor"] for shape in shapes} == {24}
    assert len({tuple(shape.values()) for shape in shapes}) == len(shapes)
    assert {shape["tensor"] for shape in shapes} == {1, 2, 4, 8}
    assert shapes[0] == {"data": 1, "fsdp": 24, "tensor": 1}


def test_the_first_way_of_a_mesh_keeps_the_most():
    found = list(search.within({"data": 2, "fsdp": 2, "tensor": 2}, 16, ("none", "full")))
    assert [way[1:] for way in found] == [(r, n) for n in (1, 2, 4) for r in ("none", "full")]
    assert not list(search.within({"data": 8, "fsdp": 4, "tensor": 1}, 16, ("none",)))


def test_the_first_that_fits_of_each_mesh_is_ranked_by_its_time():
    meshes = list(search.meshes(4))
    seen = []

    def attempt(way):
        seen.append(way)
        if way.mesh["tensor"] == 4:
            raise ValueError("heads are not divisible")
        if way.remat == "none":
            return TooLarge("too large", None)
        return plan(fits=way.mesh["fsdp"] > 1, seconds=1.0 / way.mesh["data"])

    ways = lambda mesh: search.within(mesh, 8, ("none", "full"))
    found = search.search(meshes, ways, attempt, limit=100)
    best = [one for one in found if one.fits]
    assert [one.way.mesh["data"] for one in best] == [2, 1, 1]
    assert all(one.way.remat == "full" for one in best) and found[: len(best)] == best
    assert sum(way.mesh["tensor"] == 4 for way in seen) == 1  # what divides no dimension is not tried again
    assert len(search.search(meshes, ways, attempt, limit=3)) == 3
