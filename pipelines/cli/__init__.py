"""The pdeseray command: one module a command, each a thin shell over the rooms.

Modules here import nothing heavy at the top, so that ``pdeseray --help`` answers at once.
"""
