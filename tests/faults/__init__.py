"""What happens when processes, machines, disks, clocks and people fail: nothing lost, nothing doubled."""
