"""Composition: one module for each process or command, the only places that know every part."""
