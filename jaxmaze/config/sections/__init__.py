"""The sections of a configuration: one file each, with one dataclass of its fields."""
