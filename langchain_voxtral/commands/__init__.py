"""Commands of `langchain-voxtral` that are more than a few lines, and what commands share."""
