"""What is looked after by people: messages that were given up on, and the way back."""
