"""The user's own code: which files stand behind a factory, and running it as it is."""
