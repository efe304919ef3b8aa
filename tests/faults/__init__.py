"""A harness that injects faults by a random schedule, and then looks whether every promise was kept."""
