"""Learned edge masks and attention layers."""

from gsparse.nn.accelerate import accelerate
from gsparse.nn.fast_gat_conv import FastGATConv, FastGATv2Conv

__all__ = ["FastGATConv", "FastGATv2Conv", "accelerate"]
