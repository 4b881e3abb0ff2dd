"""What calls use: sums, budgets, and the callback handler that keeps them."""
