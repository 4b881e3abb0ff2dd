"""Tools as text, pure: call ids and JSON that cannot forge a control marker."""
