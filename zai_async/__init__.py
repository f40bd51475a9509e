"""Asyncio-first client for the Z.AI platform."""
