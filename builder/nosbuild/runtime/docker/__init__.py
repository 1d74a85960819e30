"""The same repository in a container, through the engine's own interface.

Enters: a model repository and an image that runs ``nosbuild serve``. Leaves: an
``InferenceService`` whose server is a container, or an image with the repository inside.
"""
