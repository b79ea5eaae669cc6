"""From a recipe to trained replicates of a run: claimed, trained, calibrated; each resumable, nothing pickled."""
