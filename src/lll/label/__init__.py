"""The labelling page: a server on this machine, its session, and what the browser is given."""
