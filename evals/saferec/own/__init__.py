"""A set of our own: invented films, dishes and outings, and the conversations in which they are asked for. MIT."""
