"""What helps a very small model to behave: prompts, examples, grammars."""
