"""Compaction: smaller layers with the same outputs, and steps that prepare a model for
it.
"""

from gsparse.compaction.compact import compact, compaction_report
from gsparse.compaction.dead_units import RemovedUnits, remove_dead_units
from gsparse.compaction.groups import ChannelGroup, Member, channel_groups
from gsparse.compaction.heads import with_output_heads
from gsparse.compaction.hidden_units import HiddenUnits, mask_dead_units
from gsparse.compaction.inputs import InputSelection
from gsparse.compaction.multiply_adds import multiply_adds
from gsparse.compaction.purify import crossbar_count, purify, remove_unused_paths
from gsparse.compaction.reconstruct import Reconstruction, reconstruct
from gsparse.compaction.report import CompactionReport, GroupReport

__all__ = [
    "ChannelGroup",
    "CompactionReport",
    "GroupReport",
    "HiddenUnits",
    "InputSelection",
    "Member",
    "Reconstruction",
    "RemovedUnits",
    "channel_groups",
    "compact",
    "compaction_report",
    "crossbar_count",
    "mask_dead_units",
    "multiply_adds",
    "purify",
    "reconstruct",
    "remove_dead_units",
    "remove_unused_paths",
    "with_output_heads",
]
