"""The database: engines, stores, tables and the functions that read and write them."""
