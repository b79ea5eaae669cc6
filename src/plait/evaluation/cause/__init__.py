"""What can honestly be said of causes: interventions on the model's input, and shortcuts that it may have taken."""
