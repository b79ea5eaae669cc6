"""Pages, pictures and sentences from an evaluation."""
