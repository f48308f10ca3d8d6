# SPDX-License-Identifier: MIT
"""The line at the top of the first page."""
TEXT = "Welcome to the shop"
