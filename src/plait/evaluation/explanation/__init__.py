"""Which seconds of which stream an answer rests on, and whether that explanation is true of the model."""
