"""Other tools' formats: write a corpus and its features as they read it, and read what they wrote."""
