"""Tests of `ponte_net`."""
