"""Measuring inference: speed beside other engines, step by step, under load, from a cold start.

Imported on request only. `darknet_py bench` and benchmarks/compare.py are made of it.
"""

from __future__ import annotations

from .calibration import calibrate, write_weights
from .load import Load, measure_load
from .machine import Limits, describe, force, measure, processors
from .report import comparison_text, steps_text
from .running import ENGINES, HOW_TO_INSTALL, Comparison, Files, Model, Result, compare, prepare
from .start import Start, measure_start
from .steps import StepTime, profile

__all__ = [
    "ENGINES",
    "HOW_TO_INSTALL",
    "Comparison",
    "Files",
    "Limits",
    "Load",
    "Model",
    "Result",
    "Start",
    "StepTime",
    "calibrate",
    "compare",
    "comparison_text",
    "describe",
    "force",
    "measure",
    "measure_load",
    "measure_start",
    "prepare",
    "processors",
    "profile",
    "steps_text",
    "write_weights",
]
