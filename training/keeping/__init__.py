"""What a run keeps, and how nothing of it is lost: manifests, checkpoints, locks, and ends that come early."""
