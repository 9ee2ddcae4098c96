"""Custody on paper: the receipts of `router.receipt`, drawn."""
