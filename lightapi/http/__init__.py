"""The request pipeline, independent of host, database and cache."""
