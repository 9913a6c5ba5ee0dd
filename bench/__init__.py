"""What MIRROR costs and what it is worth, measured."""
