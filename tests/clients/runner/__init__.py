"""Starts session clients against servers and judges what they report. ../README.md has the contract."""
