"""Files that run in the Python of Triton, where nosbuild is not installed."""
