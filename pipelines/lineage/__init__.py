"""Run keys, data versions, the records of stages, and MLflow.

A stage has a run key (what its bytes depend on) and a data version (what its output is). Nothing here knows
what a radiograph is, and nothing here imports Dagster.
"""
