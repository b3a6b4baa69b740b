"""Dagster: assets, checks, jobs, schedules and sensors as thin shells over the rooms below.

The only room that imports dagster. No rule about radiographs, labels or networks lives here.
"""
