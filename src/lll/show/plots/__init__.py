"""Pictures: a run or a plan in, a file out. Nothing is only shown."""
