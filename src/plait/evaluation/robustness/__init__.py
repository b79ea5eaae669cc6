"""How answers suffer when what is read is damaged: curves and areas, beside late fusion and the best single stream."""
