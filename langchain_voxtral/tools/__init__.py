"""Tools and their calls, pure: schemas, calls in text, ids, JSON that forges no marker."""
