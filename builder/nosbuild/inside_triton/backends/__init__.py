"""One folder for each backend that Triton finds by name, installed as they are."""
