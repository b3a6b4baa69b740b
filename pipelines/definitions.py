"""The code location: what ``dagster dev`` loads."""

from pipelines.orchestration.build import build_definitions

defs = build_definitions()
