"""The dataset doctor: recorded episodes read whatever is wrong with them, and judged."""
