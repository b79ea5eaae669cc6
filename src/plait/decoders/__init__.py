"""From the outputs at instants to a sequence: search, and language models of the sequences."""
