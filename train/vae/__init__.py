"""Training of the tiny VAE: its settings, crops, losses and trainer."""
