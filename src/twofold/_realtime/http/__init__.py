"""HTTP: uvicorn underneath, a fast lane for `POST /predict`, a starlette app for everything else."""
