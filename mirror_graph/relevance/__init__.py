"""Which of a user's constraints a text is relevant to: relations and comparisons, no model call."""
