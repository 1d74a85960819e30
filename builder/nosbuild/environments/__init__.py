"""Environments: requirements go in; a Python of their own, made once and shared, comes out."""
