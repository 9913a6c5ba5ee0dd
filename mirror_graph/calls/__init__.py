"""How a model is called: one bounded call, a typed answer, and the talker's prompt."""
