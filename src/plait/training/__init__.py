"""Train and calibrate the replicates of a run from its recipe; each is resumable, and nothing is pickled."""
