"""Store: what a step was made from goes in as a key; what it made, if it is known, comes out."""
