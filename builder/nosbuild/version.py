"""The version of nosbuild, for the rooms that record it."""

VERSION = "0.1.0"
