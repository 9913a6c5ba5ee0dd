"""What a user sees, and the laws it rests on."""
