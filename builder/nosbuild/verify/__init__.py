"""Verify: an artifact and its source go in; a VerifiedVariant comes out, or a refusal."""
