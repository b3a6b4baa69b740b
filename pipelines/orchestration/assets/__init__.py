"""One module a stage: what it reads, the one function of a room that it calls, what it writes.

`stages_of` lists them all in topological order; `pipelines.orchestration.shell` makes assets of them.
"""

from pipelines.lineage.stages import Stage
from pipelines.orchestration.assets import (
    curation,
    evaluation,
    intake,
    labels,
    promotion,
    training,
    warehouse,
)
from pipelines.orchestration.resources import House, Work

__all__ = ["stages_of"]


def stages_of(house: House) -> list[Stage[Work]]:
    """Return every stage of the configured cohorts, each after the stages that it reads."""
    cohorts = sorted(house.settings.cohorts.values(), key=lambda one: one.role != "pretrain")
    stages: list[Stage[Work]] = []
    for cohort in cohorts:
        stages += intake.stages(house, cohort)
        stages += labels.stages(house, cohort)
        stages += curation.stages(house, cohort)
    for cohort in cohorts:
        stages += training.stages(house, cohort)
    for cohort in cohorts:
        stages.append(evaluation.stage(house, cohort))
        deciding = promotion.stage(house, cohort)
        stages += [deciding] if deciding else []
    stages.append(evaluation.report(house, [one.asset for one in stages]))
    stages.append(warehouse.stage(house, [one.asset for one in stages]))
    return stages
