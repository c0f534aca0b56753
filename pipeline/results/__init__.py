"""What stands on disk in a results folder, and what is made from it."""
