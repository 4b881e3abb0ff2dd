"""The models of the embedded server, and the scheduler in front of them."""
