"""A person as teacher, with a keyboard or a gamepad."""
