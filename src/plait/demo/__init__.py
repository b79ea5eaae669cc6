"""A made-up world of recordings with known truth, and a tour of plait through it."""
