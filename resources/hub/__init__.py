"""Finding models and data sets on the Hugging Face Hub. A Hub out of reach is an answer, not an error."""
