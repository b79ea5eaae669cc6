"""What everything else builds on: errors, parts by name, options, files written whole, progress, many processes."""
