"""The commands, one module each; flags are defined here and nowhere else."""
