"""Which mode, when, at what cost: computed from what a model costs and what is needed; nothing is measured here."""
