"""Sources: a spec's ``source`` goes in, the user's own model comes out, loaded and callable."""
