"""The readers behind model.read: one file a format or a step."""
