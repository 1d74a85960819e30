"""What a model may be called."""

from __future__ import annotations

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""As a regular expression and a JSON Schema pattern."""
