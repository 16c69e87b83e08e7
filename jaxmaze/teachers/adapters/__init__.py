"""What users give as teachers, made into functions from observations to actions, batch by batch."""
