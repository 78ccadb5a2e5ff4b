"""Who said what, when: events, classes, schedules, the oracle, splits."""
