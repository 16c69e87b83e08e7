"""What is compiled over members, and what stages share."""
