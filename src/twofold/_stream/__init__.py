"""Messages in, answers out: one model between a source and a sink, at least once, in order."""
