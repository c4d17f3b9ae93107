"""Which of a run's processes this is, and where they meet.

place = Place(index=1, count=4, coordinator="node0:1234")
place.host, place.port     # "node0", 1234
"""

import dataclasses


class RendezvousError(Exception):
    """The processes of a run are not all there, or are not of one run; `status` says whether to try again."""

    def __init__(self, code: int, sentence: str):
        super().__init__(sentence)
        self.status = code


@dataclasses.dataclass(frozen=True)
class ProcessSpec:
    """Which of `count` processes this is, and HOST:PORT, or [IPV6]:PORT, where process 0 listens. `bind` is the address
    it listens at, all of its host's where None."""

    index: int
    count: int
    coordinator: str
    bind: str | None = None

    @property
    def host(self) -> str:
        return self.coordinator.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.coordinator.rpartition(":")[2])


def address(host: str, port: int) -> str:
    """HOST:PORT, with the brackets that an IPv6 host needs."""
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"
