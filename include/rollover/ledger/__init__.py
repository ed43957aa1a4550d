"""What happened: each step once, plans, evidence, files written, holds and pauses. The truth when a task runs again."""
