"""The search for settings: tuning, fitting in a worker process, budget, runner of candidates."""
