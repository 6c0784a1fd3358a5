"""Data sets of the Hugging Face Hub, or of a folder of its layout: parquet files alone, pinned to the bit."""
