"""Runs when a Python worker of the server starts, before the model.

Triton starts its workers isolated: they ignore PYTHON* variables, so two of them are honoured here.
"""

import os
import sys

# Published versions are immutable: no __pycache__ beside a model's files.
sys.pycache_prefix = os.environ.get("PYTHONPYCACHEPREFIX")
if os.environ.get("PYTHONUNBUFFERED"):
    # What a model prints shall be in the log at once.
    sys.stdout.reconfigure(line_buffering=True)
