"""The control model that loads and unloads the others; ``model.py`` is its entry."""
