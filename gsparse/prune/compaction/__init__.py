"""Removes what pruning left dead: smaller layers, the same outputs."""

from gsparse.prune.compaction.compact import compact, compaction_report
from gsparse.prune.compaction.groups import ChannelGroup, Member, channel_groups
from gsparse.prune.compaction.inputs import InputSelection
from gsparse.prune.compaction.multiply_adds import multiply_adds
from gsparse.prune.compaction.report import CompactionReport, GroupReport

__all__ = [
    "ChannelGroup",
    "CompactionReport",
    "GroupReport",
    "InputSelection",
    "Member",
    "channel_groups",
    "compact",
    "compaction_report",
    "multiply_adds",
]
