"""A TensorRT plan file goes in; what runs it on a GPU comes out, or the reason why nothing does.

Proofs, measurements and Triton run engines with these same files: inside Triton there is the
standard library, numpy and TensorRT, and nothing else of nosbuild.
"""
