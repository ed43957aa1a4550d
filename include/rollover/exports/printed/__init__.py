"""Reports made to be printed: US Letter, one module per report with its function ``draw``."""
