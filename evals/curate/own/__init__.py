"""Cases of our own (MIT, written for this project): a user's constraint, other people's wishes, a risky request."""
