"""Training in the browser: our engine beside jax-js and TensorFlow.js. `python -m benchmarks.web` measures."""
