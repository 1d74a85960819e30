"""An artifact goes in; a faster or smaller one, still to be proven, comes out: one way a file."""
