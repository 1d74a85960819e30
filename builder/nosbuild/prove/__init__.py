"""A published model goes in; its golden samples, replayed through a real Triton, come out."""
