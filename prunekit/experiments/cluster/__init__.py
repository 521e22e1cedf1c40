"""Work on a Dask cluster: workers measure, the process that asked writes the store."""
