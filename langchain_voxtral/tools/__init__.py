"""Tools and their calls: schemas, calls in text, ids, JSON."""
