"""Between the tables and the network: what a model is trained on, its predictions and its evaluation as rows.

Imports `pdeseray_model` where it is used; knows nothing of DICOM, and nothing of how masks were made.
"""
