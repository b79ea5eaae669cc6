"""Where things begin and end: shots, scenes, speech, words."""
