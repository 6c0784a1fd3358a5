"""The Federation tab: what goes on, as it goes on, and the levers of those who may steer."""
