"""What everything else stands on: errors, parts by name, options, files written whole, progress, many processes."""
