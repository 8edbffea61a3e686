"""What is noteworthy about a resource or the whole, in one sentence each."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now. `type` and `reason` are words for programs, `message` is for people."""

    resource: str
    type: str
    reason: str
    message: str

    def document(self) -> dict[str, Any]:
        return asdict(self)
