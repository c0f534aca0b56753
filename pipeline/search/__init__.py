"""The search for settings: tuning, fitting in a worker process, the budget, the runner."""
