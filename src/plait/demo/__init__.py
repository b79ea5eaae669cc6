"""Synthetic recordings with known truth, and a tour of plait with them."""
