"""What a run leaves in its workdir and computes on: checkpoints, the log, devices."""
