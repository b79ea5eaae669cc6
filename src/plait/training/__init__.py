"""From a recipe to trained members of a run: claimed, trained, calibrated; each resumable, nothing pickled."""
