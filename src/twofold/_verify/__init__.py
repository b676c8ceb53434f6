"""Are a model's answers the same however a row is asked, and if not, why? Found out by experiments."""
