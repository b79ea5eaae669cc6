"""Search of recipes: which fusion, width, streams and training, for what objectives, at what cost."""
