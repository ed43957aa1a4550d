"""Shows the season as pages in a browser: a FastAPI application that knows no Airflow."""
