"""How a model is asked: one private call, a typed answer, and what the talker is shown."""
