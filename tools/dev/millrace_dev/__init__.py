"""Installs, builds and runs Millrace on one machine, for people (./dev) and for the tests."""
