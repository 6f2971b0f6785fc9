"""The pages for people: the documentation of the API in a browser."""
