"""Training: functions compiled over all members, and code that stages share."""
