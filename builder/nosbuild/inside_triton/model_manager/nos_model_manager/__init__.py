"""What the control model is made of; nothing here but ``model.py`` beside it knows of Triton's
Python backend, so that all of it runs without one.
"""
