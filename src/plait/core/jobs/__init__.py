"""Many jobs at a time: in this process, in several, or on a cluster."""
