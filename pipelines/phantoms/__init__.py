"""Synthetic cohorts: frontal chest radiographs with known truth, written as files like the real ones.

Here: which cases a cohort holds, how a film is drawn, how SIIM and a hospital write it to disk. Nothing here
reads what the pipeline makes, and nothing in the pipeline reads the truth file. The pixel part (geometry,
anatomy, layers, pneumothorax, apparatus, pixels, reading) needs numpy and opencv only.
"""
