"""The adapter that serves a user's plain Python class: standard library and numpy only."""
