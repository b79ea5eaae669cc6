"""What was recorded, and when."""
