"""What this distribution brings along, where it has been trained: the adapter in peft's format, and the draft model."""

from __future__ import annotations

from pathlib import Path

ADAPTER = Path(__file__).with_name("adapter")
DRAFT = Path(__file__).with_name("draft")
