"""The whole platform as local processes: fetches, starts and watches the real parts, for `make up` and for the tests."""
