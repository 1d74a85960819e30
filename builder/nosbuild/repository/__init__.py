"""Repository: a VerifiedVariant goes in; a Triton model, published in one rename, comes out."""
