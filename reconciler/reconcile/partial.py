"""Plans that leave something out on purpose."""

from dataclasses import dataclass, fields
from typing import Self

from reconciler.core.plan import Plan


@dataclass(frozen=True, slots=True)
class PartialPlan(Plan):
    """A plan for some models only: who has done it has not reached its revision."""

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(**{field.name: getattr(plan, field.name) for field in fields(Plan)})
