"""The command line: one module for each subcommand of pix2pix. Flags are defined here and nowhere else."""
