"""The state database: the one truth about instances, jobs, results and deliveries."""
