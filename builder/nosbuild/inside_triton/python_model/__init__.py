"""What a python model's version folder holds beside the user's files; ``model.py`` is the entry."""
