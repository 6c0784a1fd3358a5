"""Plain words, read: which wishes are in them, and which pieces say nothing that is understood."""
